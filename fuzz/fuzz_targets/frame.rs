//! `make fuzz TARGET=frame`: what is checked stands in `src/frame.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::frame::check(data));
