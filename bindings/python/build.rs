//! Linker arguments of an extension module, which takes Python's symbols from the process that
//! loads it.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
