//! `make fuzz TARGET=decompressor`: what is checked stands in `src/decompressor.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| weir_fuzz::decompressor::check(data));
