//! The modules of the program, so that an installed `terrace` has them.

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each, in order of name.
        pub const MODULES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../modules/", $name, "/module.yaml")))),*];
    };
}

modules! { "glue-job", "identity", "kms", "lake", "monitoring", "postgresql", "stream", "tenant", "workload" }

/// The text of a module of the program.
pub fn text(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}
