// SPDX-License-Identifier: MIT
//! Links libashlar.a into the program. pkg-config knows where it is, or
//! ASHLAR_LIB_DIR says so.
use std::env;
use std::process::Command;

fn library_folder() -> String {
    if let Ok(folder) = env::var("ASHLAR_LIB_DIR") {
        return folder;
    }
    let tool = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_string());
    let answer = Command::new(tool)
        .args(["--libs-only-L", "--keep-system-libs", "ashlar"])
        .output()
        .expect("pkg-config cannot be run: install it, or set ASHLAR_LIB_DIR to the folder of libashlar.a");
    if !answer.status.success() {
        panic!("{}", String::from_utf8_lossy(&answer.stderr));
    }
    let folder = String::from_utf8(answer.stdout).expect("a path in UTF-8");
    folder.trim().trim_start_matches("-L").to_string()
}

fn main() {
    for name in ["ASHLAR_LIB_DIR", "PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_SYSROOT_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rustc-link-search=native={}", library_folder());
    println!("cargo:rustc-link-lib=static=ashlar");
}
