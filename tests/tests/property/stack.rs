//! Random stacks, and random edits of them.

use terrace_tests::Scratch;
use terrace_tests::random::Random;

/// The targets of an environment. Without a cluster and an account it is rendered to a directory.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    pub(crate) cluster: bool,
    pub(crate) account: bool,
}

/// A possible component of a stack. In its text, `$ID` is the name of the platform, `$V` the version of the part from 1
/// to 3, and `$SPACE` the namespace of the component `base`.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    cluster: bool,
    account: bool,
    pub(crate) of_tenants: bool,
    resources: &'static str,
    rest: &'static str,
    pub(crate) objects: &'static [Object],
}

/// An object of a component.
#[derive(Debug)]
pub(crate) struct Object {
    /// The last part of its address.
    pub(crate) resource: &'static str,
    /// `v1` or `GROUP/VERSION`.
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    /// Its namespace; absent if it is cluster-scoped. `$ENV` and `$TENANT` are placeholders for names.
    pub(crate) namespace: Option<&'static str>,
    pub(crate) name: &'static str,
    /// The JSON of a valid object, without its metadata.
    pub(crate) body: &'static str,
}

const BASE: &str = "$ID-$ENV-base";
const HOME: &str = "$ID-$ENV-data-tenant-$TENANT";
const ROLE: &str = r#"{"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}"#;
const CLAIM: &str = r#"{"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "absent", "resources": {"requests": {"storage": "1Gi"}}}}"#;
const DEFINITION: &str = r#"{"spec": {"group": "$ID-$ENV.example", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things", "singular": "thing"},
"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}"#;

const fn object(resource: &'static str, kind: &'static str, plural: &'static str) -> Object {
    Object {
        resource,
        api_version: "v1",
        kind,
        plural,
        namespace: Some(BASE),
        name: resource,
        body: "{}",
    }
}

/// All components. `base` comes first, because others use its namespace.
pub(crate) const SHAPES: &[Shape] = &[
    Shape {
        name: "base",
        cluster: true,
        account: false,
        of_tenants: false,
        resources: r#"
  place: {type: v1/Namespace, metadata: {name: "$SPACE"}}
  settings: {type: v1/ConfigMap, metadata: {name: settings, namespace: "$SPACE"}, data: {level: "$V"}}
  runner: {type: v1/ServiceAccount, metadata: {name: runner, namespace: "$SPACE"}}"#,
        rest: "",
        objects: &[
            Object {
                namespace: None,
                name: BASE,
                ..object("place", "Namespace", "namespaces")
            },
            Object {
                body: r#"{"data": {"theirs": "yes"}}"#,
                ..object("settings", "ConfigMap", "configmaps")
            },
            object("runner", "ServiceAccount", "serviceaccounts"),
        ],
    },
    Shape {
        name: "disk",
        cluster: true,
        account: false,
        of_tenants: false,
        resources: r#"
  claim: {type: v1/PersistentVolumeClaim, metadata: {name: claim, namespace: "$SPACE"}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: $VGi}}}}"#,
        rest: "",
        objects: &[Object {
            body: CLAIM,
            ..object("claim", "PersistentVolumeClaim", "persistentvolumeclaims")
        }],
    },
    Shape {
        name: "web",
        cluster: true,
        account: false,
        of_tenants: false,
        resources: r#"
  server:
    type: apps/v1/Deployment
    metadata: {name: server, namespace: "$SPACE"}
    spec:
      replicas: 1
      selector: {matchLabels: {app: server}}
      template:
        metadata: {labels: {app: server}}
        spec: {containers: [{name: main, image: "registry.example.com/web:1.0.$V"}]}
  door: {type: v1/Service, metadata: {name: door, namespace: "$SPACE"}, spec: {selector: {app: server}, ports: [{port: 80}]}}"#,
        rest: "",
        objects: &[Object {
            body: r#"{"spec": {"selector": {"app": "theirs"}, "ports": [{"port": 81}]}}"#,
            ..object("door", "Service", "services")
        }],
    },
    Shape {
        name: "rights",
        cluster: true,
        account: false,
        of_tenants: false,
        resources: r#"
  reader: {type: rbac.authorization.k8s.io/v1/ClusterRole, metadata: {name: "$ID-{{ environment.name }}-reader"}, rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]}
  urgent: {type: scheduling.k8s.io/v1/PriorityClass, metadata: {name: "$ID-{{ environment.name }}-urgent"}, value: 10$V}"#,
        rest: "",
        objects: &[
            Object {
                api_version: "rbac.authorization.k8s.io/v1",
                namespace: None,
                name: "$ID-$ENV-reader",
                body: ROLE,
                ..object("reader", "ClusterRole", "clusterroles")
            },
            Object {
                api_version: "scheduling.k8s.io/v1",
                namespace: None,
                name: "$ID-$ENV-urgent",
                body: r#"{"value": 7}"#,
                ..object("urgent", "PriorityClass", "priorityclasses")
            },
        ],
    },
    Shape {
        name: "things",
        cluster: true,
        account: false,
        of_tenants: false,
        resources: r#"
  definition:
    type: apiextensions.k8s.io/v1/CustomResourceDefinition
    metadata: {name: "things.$ID-{{ environment.name }}.example"}
    spec:
      group: "$ID-{{ environment.name }}.example"
      scope: Namespaced
      names: {kind: Thing, plural: things, singular: thing}
      versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]"#,
        rest: "",
        objects: &[Object {
            api_version: "apiextensions.k8s.io/v1",
            namespace: None,
            name: "things.$ID-$ENV.example",
            body: DEFINITION,
            ..object(
                "definition",
                "CustomResourceDefinition",
                "customresourcedefinitions",
            )
        }],
    },
    Shape {
        name: "home",
        cluster: true,
        account: false,
        of_tenants: true,
        resources: r#"
  namespace: {type: v1/Namespace, metadata: {name: "{{ namespace }}"}}
  notes: {type: v1/ConfigMap, metadata: {name: notes}, data: {text: "$V"}}"#,
        rest: "",
        objects: &[
            Object {
                namespace: None,
                name: HOME,
                ..object("namespace", "Namespace", "namespaces")
            },
            Object {
                namespace: Some(HOME),
                body: r#"{"data": {"text": "theirs"}}"#,
                ..object("notes", "ConfigMap", "configmaps")
            },
        ],
    },
    Shape {
        name: "alerts",
        cluster: false,
        account: true,
        of_tenants: false,
        resources: r#"
  topic: {type: "AWS::SNS::Topic", properties: {TopicName: "{{ name }}", DisplayName: "v$V"}}"#,
        rest: "\noutputs: {arn: \"{{ ref('topic').arn }}\"}",
        objects: &[],
    },
    Shape {
        name: "jobs",
        cluster: false,
        account: true,
        of_tenants: true,
        resources: r#"
  queue: {type: "AWS::SQS::Queue", properties: {QueueName: "{{ name }}", MessageRetentionPeriod: $V00}}"#,
        rest: "",
        objects: &[],
    },
    Shape {
        name: "lake",
        cluster: false,
        account: true,
        of_tenants: false,
        resources: r#"
  bucket: {type: "AWS::S3::Bucket", properties: {BucketName: "{{ name }}-{{ environment.account }}", Tags: [{Key: version, Value: v$V}]}}
  log: {type: "AWS::Logs::LogGroup", properties: {LogGroupName: "/{{ name }}", RetentionInDays: $ODD}}"#,
        rest: "",
        objects: &[],
    },
    Shape {
        name: "orders",
        cluster: false,
        account: true,
        of_tenants: false,
        resources: r#"
  table:
    type: "AWS::DynamoDB::Table"
    properties:
      TableName: "{{ name }}"
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{AttributeName: id$V, KeyType: HASH}]
      AttributeDefinitions: [{AttributeName: id$V, AttributeType: S}]"#,
        rest: "",
        objects: &[],
    },
    Shape {
        name: "mixed",
        cluster: true,
        account: true,
        of_tenants: false,
        resources: r#"
  topics: {type: v1/ConfigMap, metadata: {name: topics, namespace: "$SPACE"}, data: {alerts: "{{ ref('alerts').arn }}", version: "$V"}}"#,
        rest: "",
        objects: &[Object {
            body: r#"{"data": {"alerts": "theirs"}}"#,
            ..object("topics", "ConfigMap", "configmaps")
        }],
    },
];

/// The current state of a component in the stack.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) shape: &'static Shape,
    pub(crate) wanted: bool,
    version: usize,
}

/// A stack in a directory.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) id: String,
    pub(crate) environments: Vec<Environment>,
    pub(crate) tenants: Vec<String>,
    pub(crate) parts: Vec<Part>,
}

impl Stack {
    /// Creates a random stack, whose names all contain its id.
    pub(crate) fn random(id: &str, random: &mut Random) -> Stack {
        let (cluster, account) = *random.of(&[(true, false), (false, true), (true, true)]);
        let mut environments = vec![Environment {
            name: "live",
            cluster,
            account,
        }];
        if random.percent(40) {
            environments.push(Environment {
                name: "side",
                cluster,
                account,
            });
        }
        if random.percent(30) {
            environments.push(Environment {
                name: "files",
                cluster: false,
                account: false,
            });
        }
        let tenants = ["red", "blue"][..1 + random.below(2)].iter();
        let parts = SHAPES.iter().map(|shape| Part {
            shape,
            wanted: random.percent(if shape.name == "things" { 15 } else { 65 }),
            version: 2,
        });
        let mut stack = Stack {
            parts: parts.collect(),
            id: id.to_owned(),
            environments,
            tenants: tenants.map(|name| format!("{name}-{id}")).collect(),
        };
        stack.complete();
        stack
    }

    /// Adds the components that others depend on.
    fn complete(&mut self) {
        let uses_any = |stack: &Stack, names: &[&str]| {
            let mut parts = stack.parts.iter();
            parts.any(|part| part.wanted && names.contains(&part.shape.name))
        };
        let need_base = uses_any(self, &["disk", "web", "mixed"]);
        let need_alerts = uses_any(self, &["mixed"]);
        for part in &mut self.parts {
            part.wanted |= part.shape.name == "base" && need_base;
            part.wanted |= part.shape.name == "alerts" && need_alerts;
        }
    }

    /// Returns whether a component is in an environment, considering the targets of both.
    pub(crate) fn fits(shape: &Shape, environment: &Environment) -> bool {
        let files = !environment.cluster && !environment.account;
        let both = shape.cluster && shape.account; // a reference that cannot be rendered to a file
        (files && !both)
            || ((!shape.cluster || environment.cluster) && (!shape.account || environment.account))
    }

    /// Makes a random edit and describes it.
    pub(crate) fn edit(&mut self, random: &mut Random) -> String {
        let number = random.below(self.parts.len());
        let part = &mut self.parts[number];
        let name = part.shape.name;
        if part.wanted && random.percent(50) {
            part.version = 1 + random.below(3);
            return format!("edit {name}: version {}", part.version);
        }
        part.wanted = !part.wanted;
        let removed = !part.wanted;
        if removed && name == "base" {
            for part in &mut self.parts {
                part.wanted &= !["disk", "web", "mixed"].contains(&part.shape.name);
            }
        }
        if removed && name == "alerts" {
            for part in &mut self.parts {
                part.wanted &= part.shape.name != "mixed";
            }
        }
        self.complete();
        format!("{} {name}", if removed { "remove" } else { "add" })
    }

    /// Writes the files of the stack.
    pub(crate) fn write(&self, directory: &Scratch, account: &str) {
        let id = &self.id;
        let mut text =
            format!("kind: Platform\nname: {id}\nowner: data@{id}.example\ntiers: {{basic: {{}}}}\n");
        for Environment {
            name,
            cluster,
            account: in_account,
        } in &self.environments
        {
            text += &format!(
                "---\nkind: Environment\nname: {name}\nclass: development\nnamespace_prefix: {id}-{name}\n"
            );
            if *cluster {
                text += "kubernetes: {context: here, distribution: kubernetes}\n";
            }
            if *in_account {
                text += &format!("aws: {{account: \"{account}\", region: eu-west-1}}\n");
            }
            if !cluster && !in_account {
                text += "directory: deployed\n";
            }
        }
        for tenant in &self.tenants {
            text += &format!("---\n{{kind: Tenant, name: {tenant}, tier: basic}}\n");
        }
        directory.write("platform.yaml", &text);
        directory.write("components.yaml", &self.components());
    }

    fn components(&self) -> String {
        let mut text = String::new();
        for part in self.parts.iter().filter(|part| part.wanted) {
            let shape = part.shape;
            let fitting = self
                .environments
                .iter()
                .filter(|environment| Stack::fits(shape, environment));
            let environments: Vec<&str> = fitting.map(|environment| environment.name).collect();
            if environments.is_empty() {
                continue;
            }
            let tenants = if shape.of_tenants { "tenants: all\n" } else { "" };
            let resources = shape
                .resources
                .replace("$SPACE", "$ID-{{ environment.name }}-base")
                .replace("$ID", &self.id)
                .replace("$V", &part.version.to_string())
                .replace("$ODD", &(2 * part.version - 1).to_string());
            text += &format!(
                "---\nkind: Component\nname: {}\n{tenants}environments: [{}]\nresources:{resources}{}\n",
                shape.name,
                environments.join(", "),
                shape.rest
            );
        }
        text
    }
}
