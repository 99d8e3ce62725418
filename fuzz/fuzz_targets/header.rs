//! `make fuzz TARGET=header`: what is checked stands in `src/header.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::header::check(data));
