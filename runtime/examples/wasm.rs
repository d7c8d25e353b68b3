//! The contract suite and runs of models as a WebAssembly module without imports; `wasm.mjs` beside it calls it.
#![cfg_attr(target_arch = "wasm32", no_std)]

// All exports are the library's.
use limbeck_runtime as _;

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
