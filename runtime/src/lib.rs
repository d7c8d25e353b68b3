//! Runs int8 models with one exact integer contract: no allocator, no float, no panic.
#![no_std]
#![allow(missing_docs)]
