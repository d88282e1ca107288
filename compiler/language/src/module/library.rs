//! The built-in modules, which are compiled into the program.

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        /// The name and text of each module, in order of name.
        pub const MODULES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../modules/", $name, "/module.yaml")))),*];
    };
}

modules! { "glue-job", "identity", "kms", "lake", "monitoring", "postgresql", "stream", "tenant", "workload" }

/// Returns the text of a built-in module.
pub fn text(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}
