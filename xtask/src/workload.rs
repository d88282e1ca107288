//! `cargo xtask workload INPUT_DIR STACK_DIR`: writes the stack W(N) of `bench/WORKLOAD.md` from the workload's input files.

use std::fs;
use std::path::Path;

use serde_json::Value;

const MODULE: &str = include_str!("../../bench/modules/ingest/module.yaml");

/// The fields of the workload, each with the module's input.
const FIELDS: [(&str, &str); 19] = [
    ("team", "team"),
    ("env", "env"),
    ("costCenter", "cost_center"),
    ("account", "account"),
    ("region", "region"),
    ("tag", "tag"),
    ("replicas", "replicas"),
    ("maxReplicas", "max_replicas"),
    ("cpuMilli", "cpu_milli"),
    ("memMi", "mem_mi"),
    ("quotaCpu", "quota_cpu"),
    ("quotaMemGi", "quota_mem_gi"),
    ("quotaPods", "quota_pods"),
    ("logLevel", "log_level"),
    ("batchSize", "batch_size"),
    ("cidr", "cidr"),
    ("scheduleHour", "schedule_hour"),
    ("retentionDays", "retention_days"),
    ("alarmThreshold", "alarm_threshold"),
];

/// The number of tenants per file.
const IN_A_FILE: usize = 50;

const PLATFORM: &str = "{kind: Platform, name: workload, modules: [./modules]}
---
{kind: Environment, name: lab, class: development, directory: out}
---
{kind: Component, name: ingest, module: ingest@^1, tenants: all}
";

/// Writes the stack.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let [input, stack] = arguments else {
        return Err("usage: cargo xtask workload INPUT_DIR STACK_DIR".to_owned());
    };
    let input = Path::new(input).join("tenants.json");
    let text = fs::read_to_string(&input).map_err(|error| format!("{}: {error}", input.display()))?;
    let json: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", input.display()))?;
    let tenants = json["tenants"]
        .as_array()
        .ok_or("there is no list `tenants` in the input")?;
    let stack = Path::new(stack);
    write(&stack.join("platform.yaml"), PLATFORM)?;
    write(&stack.join("modules/ingest/module.yaml"), MODULE)?;
    for (index, chunk) in tenants.chunks(IN_A_FILE).enumerate() {
        let documents: Vec<String> = chunk.iter().map(document).collect();
        write(
            &stack.join(format!("tenants/{index:03}.yaml")),
            &documents.join("---\n"),
        )?;
    }
    Ok(())
}

/// Returns the document of a tenant, with the tenant's fields as overrides of the component's inputs.
fn document(tenant: &Value) -> String {
    let mut text = format!(
        "kind: Tenant\nname: {}\ntier: basic\noverrides:\n  ingest:\n",
        tenant["name"].as_str().unwrap_or_default()
    );
    for (field, input) in FIELDS {
        // A JSON scalar is also a YAML scalar.
        text.push_str(&format!("    {input}: {}\n", tenant[field]));
    }
    text
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}
