//! A new migration is no change of any source file, and would not be built in.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
