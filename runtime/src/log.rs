//! One way to say something: through defmt on a device, through log on a host, or not at all.

/// Something worth knowing once in a session; the message's arguments are `{}` only, which both understand.
macro_rules! info {
    ($message:literal $(, $value:expr)* $(,)?) => {{
        #[cfg(feature = "defmt")]
        defmt::info!($message $(, $value)*);
        #[cfg(all(feature = "log", not(feature = "defmt")))]
        ::log::info!($message $(, $value)*);
    }};
}

pub(crate) use info;
