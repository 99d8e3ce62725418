//! `make fuzz TARGET=evidence`: what is checked stands in `src/evidence.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::evidence::check(data));
