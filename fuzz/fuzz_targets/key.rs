//! `make fuzz TARGET=key`: what is checked stands in `src/key.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::key::check(data));
