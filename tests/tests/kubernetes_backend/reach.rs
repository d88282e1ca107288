//! Connections to clusters, permissions, and concurrent applies.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use expect_test::expect;
use terrace_deployer::{Error, FailureKind, Refusal};
use terrace_tests::{Scratch, servers};

use crate::documents::workload;
use crate::support::{Stack, file, requests, show, words};

const CONFIG: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: $N}
data: {color: blue}
";

/// A wrong cluster, a cluster that does not answer, and a missing context.
#[tokio::test(flavor = "multi_thread")]
async fn connects_only_to_the_cluster_of_the_environment() {
    let scratch = Scratch::new("reach");
    let other = Stack {
        id: Some("00000000-0000-0000-0000-000000000000".into()),
        ..Stack::new("reach")
    };
    let error = other
        .try_plan(&other.bundle(CONFIG))
        .await
        .expect_err("another cluster");
    assert!(
        matches!(&error, Error::Refused(Refusal::WrongTarget(_))),
        "{error:?}"
    );
    let id = other.field("namespace/kube-system", ".metadata.uid");
    let message = error.to_string();
    assert!(message.starts_with(&format!(
        "context `local` connects to cluster `{id}`, but the environment names cluster `00000000-0000-0000-0000-000000000000`"
    )), "{message}");

    let right = Stack {
        id: Some(id.clone().into()),
        ..Stack::new("reach")
    };
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: $N}}";
    let plan = right.plan(namespace).await;
    assert_eq!(plan.targets["kubernetes"].id, id);
    assert!(
        plan.targets["kubernetes"]
            .shown
            .starts_with("cluster local at https://127.0.0.1:"),
        "{plan:?}"
    );

    let kubeconfig = "
apiVersion: v1
kind: Config
clusters: [{name: gone, cluster: {server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}}]
users: [{name: me, user: {token: t}}]
contexts: [{name: gone, context: {cluster: gone, user: me}}]
";
    let gone = Stack {
        kubeconfig: file(scratch.path(), "gone", kubeconfig),
        context: "gone".into(),
        ..Stack::new("reach")
    };
    let unreachable = words(gone.try_plan(&gone.bundle(CONFIG)).await);
    for line in [
        "cluster `gone` at https://127.0.0.1:1 does not answer",
        "server response: Connection refused",
        "kubectl --context gone get --raw /readyz",
        "help: run the command again when the system can be reached",
    ] {
        assert!(unreachable.contains(line), "{line}\n{unreachable}");
    }
    let missing = Stack {
        context: "locall".into(),
        ..Stack::new("reach")
    };
    let missing = words(missing.try_plan(&missing.bundle(CONFIG)).await);
    assert!(
        missing.contains("has no context `locall`\n  help: did you mean `local`?"),
        "{missing}"
    );
    let none = Stack {
        kubeconfig: scratch.path().join("none"),
        ..Stack::new("reach")
    };
    let none = words(none.try_plan(&none.bundle(CONFIG)).await);
    assert!(
        none.starts_with("kubeconfig `") && none.contains("none` does not exist"),
        "{none}"
    );
}

/// Grants permissions to the limited user of the test cluster.
pub(crate) fn grant(stack: &Stack<'_>, name: &str, namespace: Option<&str>, rules: &str) {
    let (role, place) = match namespace {
        Some(namespace) => ("Role", format!("namespace: {namespace}, ")),
        None => ("ClusterRole", String::new()),
    };
    stack.cluster.apply(&format!(
        "
{{apiVersion: rbac.authorization.k8s.io/v1, kind: {role}, metadata: {{{place}name: {name}}}, rules: {rules}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {role}Binding
metadata: {{{place}name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {role}, name: {name}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: limited}}]
"
    ));
}

/// Starting without permissions, each refusal names the missing rule. Read permissions are enough for a plan.
#[tokio::test(flavor = "multi_thread")]
async fn reports_the_rule_for_each_missing_permission() {
    // A separate cluster, because permissions of the user `limited` must not affect other tests.
    let cluster = servers::Cluster::start();
    let admin = Stack::in_cluster("limited", &cluster);
    let limited = Stack {
        kubeconfig: cluster.limited_kubeconfig().to_owned(),
        timeout: Duration::from_secs(30),
        ..Stack::in_cluster("limited", &cluster)
    };
    let bundle = limited.bundle(CONFIG);
    admin
        .cluster
        .apply("{apiVersion: v1, kind: Namespace, metadata: {name: limited}}");

    let denied = words(limited.try_plan(&bundle).await);
    for line in [
        "the credentials lack the permission to `get` namespaces in the cluster",
        "server response: namespaces \"kube-system\" is forbidden: User \"limited\" cannot get resource \"namespaces\"",
        "the rules that would allow it:\n    # in a ClusterRole: the identity of the cluster\n    - apiGroups: [\"\"]\n      resources: [\"namespaces\"]\n      resourceNames: [\"kube-system\"]\n      verbs: [get]",
        "resources: [\"leases\"]\n      verbs: [get, create, update, delete]",
        "help: allow Terrace to read this namespace: its UID identifies the cluster",
    ] {
        assert!(denied.contains(line), "{line}\n{denied}");
    }
    grant(
        &admin,
        "terrace-identity",
        None,
        "[{apiGroups: [''], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}]",
    );
    let denied = words(limited.try_plan(&bundle).await);
    assert!(
        denied.contains("the credentials lack the permission to `get` configmaps in namespace `limited`"),
        "{denied}"
    );
    assert!(denied.contains("# in a Role of namespace limited"), "{denied}");

    grant(
        &admin,
        "terrace-read",
        Some("limited"),
        "[{apiGroups: [''], resources: [configmaps], verbs: [get]}]",
    );
    let plan = limited.plan_of(&bundle).await;
    let step = plan.changes().next().expect("a create");
    assert!(!step.change.previewed);
    assert!(
        show(&plan).contains(
            "note: the credentials lack the permission to `patch` configmaps: planned without a server-side dry run"
        ),
        "{}",
        show(&plan)
    );

    // Without write permissions for the objects, nothing is applied.
    grant(
        &admin,
        "terrace-home",
        None,
        "[{apiGroups: [''], resources: [secrets], verbs: ['*']}, {apiGroups: [coordination.k8s.io], resources: [leases], verbs: ['*']},
          {apiGroups: [''], resources: [namespaces], verbs: [create, patch]}]",
    );
    let denied = words(limited.try_apply_plan(&plan).await);
    assert!(
        denied.contains(
            "the credentials lack the permission to `create` and `patch` configmaps in namespace `limited`, so nothing was applied"
        ),
        "{denied}"
    );
    assert!(denied.contains("verbs: [get, list, create, patch]"), "{denied}");

    grant(
        &admin,
        "terrace-write",
        Some("limited"),
        "[{apiGroups: [''], resources: [configmaps], verbs: [list, create, patch]}]",
    );
    limited.apply(CONFIG).await;
    assert_eq!(
        limited.field("configmap/settings --namespace=$N", ".data.color"),
        "blue"
    );
    // With read permissions only, the change is predicted without a dry run.
    grant(
        &admin,
        "terrace-write",
        Some("limited"),
        "[{apiGroups: [''], resources: [configmaps], verbs: [list]}]",
    );
    let plan = limited.plan(&CONFIG.replace("blue", "green")).await;
    assert!(
        show(&plan).contains(
            "  data.color: \"blue\" -> \"green\"\n  note: the credentials lack the permission to `patch`"
        ),
        "{}",
        show(&plan)
    );

    let denied = words(limited.try_apply("").await);
    assert!(
        denied.contains("the credentials lack the permission to `delete` configmaps in namespace `limited`"),
        "{denied}"
    );
}

/// All missing permissions are reported at once, with all objects, their lines and all rules. An apply that lacks a
/// permission does not start.
#[tokio::test(flavor = "multi_thread")]
async fn reports_all_missing_permissions_at_once() {
    const YAML: &str = "
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: sales}, data: {color: blue}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: more, namespace: sales}, data: {color: blue}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: runner, namespace: sales}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: finance}, data: {color: blue}}
";
    let cluster = servers::Cluster::start();
    let admin = Stack::in_cluster("tenants", &cluster);
    let limited = Stack {
        kubeconfig: cluster.limited_kubeconfig().to_owned(),
        timeout: Duration::from_secs(30),
        ..Stack::in_cluster("tenants", &cluster)
    };
    for namespace in ["sales", "finance", "terrace-system"] {
        admin.cluster.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"
        ));
    }
    grant(
        &admin,
        "terrace-identity",
        None,
        "[{apiGroups: [''], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}]",
    );
    let all =
        "[{apiGroups: [''], resources: [configmaps, serviceaccounts], verbs: [get, list, create, patch]}]";
    grant(&admin, "terrace", Some("finance"), all);

    // Without read permissions in one namespace.
    let denied = words(limited.try_plan(&limited.bundle(YAML)).await);
    expect![[r#"
        the credentials lack permissions for 3 objects in namespace `sales`
          server response: WORDS
          platform/tenants/configmap-more: `get` ConfigMap sales/more
            declared at components.yaml:1:3, defined at components.yaml:7:3
          platform/tenants/configmap-settings: `get` ConfigMap sales/settings
            declared at components.yaml:1:3, defined at components.yaml:7:3
          platform/tenants/serviceaccount-runner: `get` ServiceAccount sales/runner
            declared at components.yaml:1:3, defined at components.yaml:7:3
          a rule that would allow it:
            # in a Role of namespace sales
            - apiGroups: [""]
              resources: ["configmaps", "serviceaccounts"]
              verbs: [get, list, create, patch]
    "#]]
    .assert_eq(&without_server_message(&denied));

    // With read permissions there, but without permissions in the state store.
    let read = "[{apiGroups: [''], resources: [configmaps, serviceaccounts], verbs: [get, list]}]";
    grant(&admin, "terrace", Some("sales"), read);
    let plan = limited.plan(YAML).await;
    let own = "# in a Role of namespace terrace-system: the ledger, the lock and the claim\n  - apiGroups: [\"\"]\n    resources: [\"secrets\"]\n    verbs: [get, list, create, update, delete]";
    assert!(
        plan.notes.iter().any(|note| note.contains(own)),
        "{:?}",
        plan.notes
    );
    let denied = words(limited.try_apply_plan(&plan).await);
    expect![[r#"
        the credentials lack the permission to `create` leases.coordination.k8s.io in namespace `terrace-system`
          server response: WORDS
          the rules that would allow it:
            # in a ClusterRole: the identity of the cluster
            - apiGroups: [""]
              resources: ["namespaces"]
              resourceNames: ["kube-system"]
              verbs: [get]
            # in a Role of namespace terrace-system: the ledger, the lock and the claim
            - apiGroups: [""]
              resources: ["secrets"]
              verbs: [get, list, create, update, delete]
            - apiGroups: ["coordination.k8s.io"]
              resources: ["leases"]
              verbs: [get, create, update, delete]
          help: if the namespace does not exist, create it first:
            kubectl --context local create namespace terrace-system
    "#]]
    .assert_eq(&without_server_message(&denied));

    // The named permissions are enough for the state store.
    let own = "[{apiGroups: [''], resources: [secrets], verbs: [get, list, create, delete]},
                {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update, delete]}]";
    grant(&admin, "terrace-home", Some("terrace-system"), own);
    let plan = limited.plan(YAML).await;
    let denied = words(limited.try_apply_plan(&plan).await);
    expect![[r#"
        the credentials lack permissions for 3 objects in namespace `sales`, so nothing was applied
          platform/tenants/configmap-more: `create` and `patch` ConfigMap sales/more
            declared at components.yaml:1:3, defined at components.yaml:7:3
          platform/tenants/configmap-settings: `create` and `patch` ConfigMap sales/settings
            declared at components.yaml:1:3, defined at components.yaml:7:3
          platform/tenants/serviceaccount-runner: `create` and `patch` ServiceAccount sales/runner
            declared at components.yaml:1:3, defined at components.yaml:7:3
          a rule that would allow it:
            # in a Role of namespace sales
            - apiGroups: [""]
              resources: ["configmaps", "serviceaccounts"]
              verbs: [get, list, create, patch]
          help: grant the missing permissions, then run the command again
    "#]]
    .assert_eq(&without_server_message(&denied));
    // An apply that did not start is not recorded, and the next plan does not continue it.
    let plan = limited.plan(YAML).await;
    assert_eq!((plan.follows.as_ref(), plan.notes.as_slice()), (None, &[][..]));
    assert_eq!(
        admin.kubectl("get configmaps --namespace=finance --selector=terrace.dev/stack --output=name"),
        ""
    );

    grant(&admin, "terrace", Some("sales"), all);
    limited.apply(YAML).await;

    // A message about one object starts with its address. Objects that are deleted have no declaring line.
    grant(&admin, "terrace", Some("sales"), read);
    let changed = YAML.replacen("blue", "green", 1);
    let denied = words(limited.try_apply(&changed).await);
    expect![[r#"
        platform/tenants/configmap-settings: the credentials lack the permission to `patch` configmaps in namespace `sales`, so nothing was applied
          declared at components.yaml:1:3, defined at components.yaml:7:3
          a rule that would allow it:
            # in a Role of namespace sales
            - apiGroups: [""]
              resources: ["configmaps"]
              verbs: [get, list, create, patch]
          help: grant the missing permissions, then run the command again
    "#]]
    .assert_eq(&without_server_message(&denied));
    let denied = words(
        limited
            .try_apply(changed.split_once("---").expect("several").0)
            .await,
    );
    expect![[r#"
        the credentials lack permissions for 4 objects in namespaces `finance` and `sales`, so nothing was applied
          platform/tenants/configmap-settings: `delete` ConfigMap finance/settings
          platform/tenants/configmap-more: `delete` ConfigMap sales/more
          platform/tenants/configmap-settings: `patch` ConfigMap sales/settings
            declared at components.yaml:1:3, defined at components.yaml:7:3
          platform/tenants/serviceaccount-runner: `delete` ServiceAccount sales/runner
          the rules that would allow it:
            # in a Role of namespace finance
            - apiGroups: [""]
              resources: ["configmaps"]
              verbs: [get, list, delete]
            # in a Role of namespace sales
            - apiGroups: [""]
              resources: ["configmaps"]
              verbs: [get, list, create, patch, delete]
            - apiGroups: [""]
              resources: ["serviceaccounts"]
              verbs: [get, list, delete]
          help: grant the missing permissions, then run the command again
    "#]]
    .assert_eq(&without_server_message(&denied));
}

/// Replaces the server's message in a failure.
fn without_server_message(words: &str) -> String {
    let lines = words
        .lines()
        .map(|line| match line.split_once("server response: ") {
            Some((before, _)) => format!("{before}server response: WORDS\n"),
            None => format!("{line}\n"),
        });
    lines.collect()
}

/// A bundle that is larger than a Secret is stored in parts and read completely.
#[tokio::test(flavor = "multi_thread")]
async fn stores_a_large_bundle_in_parts() {
    let stack = Stack::new("parts");
    // Random text does not compress, so the bundle exceeds one Secret.
    let mut yaml = "{apiVersion: v1, kind: Namespace, metadata: {name: $N}}\n".to_owned();
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    for at in 0..4 {
        let mut text = String::new();
        while text.len() < 700_000 {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            let _ = write!(text, "{noise:016x}");
        }
        let _ = write!(
            yaml,
            "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: big-{at}, namespace: $N}}, data: {{text: '{text}'}}}}\n"
        );
    }
    stack.apply(&yaml).await;
    let parts = stack.kubectl("get secrets --namespace=terrace-system --selector=terrace.dev/home=parts.testing,terrace.dev/role=part --output=name");
    assert!(parts.lines().count() >= 2, "{parts}");
    let history = terrace_deployer::history(&stack.bundle(&yaml), &stack.access())
        .await
        .expect("history");
    assert_eq!(history.releases.len(), 1);
    // A missing part is an error, not a shorter bundle.
    let part = parts.lines().next().expect("a part");
    stack.kubectl(&format!("delete {part} --namespace=terrace-system"));
    let broken = words(stack.try_plan(&stack.bundle(&yaml)).await);
    assert!(
        broken.contains("in namespace terrace-system of cluster local is incomplete"),
        "{broken}"
    );
}

/// Only one apply runs at a time. The second one reports the holder of the lock.
#[tokio::test(flavor = "multi_thread")]
async fn only_one_apply_runs_at_a_time() {
    let stack = Stack::new("home");
    let yaml = "{apiVersion: v1, kind: Namespace, metadata: {name: $N}}\n";
    stack.apply(yaml).await;
    // A slow apply holds the lock.
    let slow = workload("Deployment", "web", "replicas: 1", "web:1", "900");
    let first = Stack {
        timeout: Duration::from_secs(20),
        ..Stack::new("home")
    };
    let (slow_yaml, config_yaml) = (format!("{yaml}---{slow}"), format!("{yaml}---{CONFIG}"));
    let (running, plan) = (first.plan(&slow_yaml).await, stack.plan(&config_yaml).await);
    let second = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begun = Instant::now();
        let locked = stack.try_apply_plan(&plan).await.expect_err("locked");
        (locked, begun.elapsed())
    };
    let (ran, (locked, after)) = tokio::join!(first.try_apply_plan(&running), second);
    assert!(matches!(ran, Err(Error::Partly(_))), "{ran:?}");
    let Error::Failed(failures) = &locked else {
        panic!("{locked}")
    };
    assert!(
        matches!(&failures[0].kind, FailureKind::Locked { holder, .. } if holder == "tester@here"),
        "{locked}"
    );
    assert!(after < Duration::from_secs(10), "{after:?}");
    assert!(
        stack
            .cluster
            .get(&["lease", "home.testing", "--namespace=terrace-system"])
            .is_none(),
        "the lock was not released"
    );

    // The next apply waits until the lease of a killed holder has expired.
    stack.cluster.apply(
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: home.testing, namespace: terrace-system}, spec: {holderIdentity: ghost, leaseDurationSeconds: 3}}",
    );
    let begun = Instant::now();
    let plan = stack.plan(&config_yaml).await;
    stack.try_apply_plan(&plan).await.expect("taken over");
    assert!(begun.elapsed() > Duration::from_secs(3));
}

/// A change for one of many tenants needs only a few requests for that tenant, besides the reads.
#[tokio::test(flavor = "multi_thread")]
async fn work_is_proportional_to_the_change() {
    let cluster = servers::Cluster::start();
    let stack = Stack {
        timeout: Duration::from_secs(120),
        ..Stack::in_cluster("many", &cluster)
    };
    let mut yaml = String::new();
    for tenant in 0..150 {
        let _ = write!(
            yaml,
            "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: many-{tenant}}}}}
---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings, namespace: many-{tenant}}}, data: {{color: blue}}}}
---\n{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: worker, namespace: many-{tenant}}}}}
---\n{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: quota, namespace: many-{tenant}}}, spec: {{hard: {{requests.cpu: 2000m}}}}}}\n"
        );
    }
    stack.apply(&yaml).await;
    let changed = yaml.replace(
        "namespace: many-77}, data: {color: blue}",
        "namespace: many-77}, data: {color: green}",
    );
    assert_ne!(changed, yaml);
    let before = requests(&cluster);
    let begun = Instant::now();
    let plan = stack.plan(&changed).await;
    let elapsed = begun.elapsed();
    assert_eq!(plan.changes().count(), 1, "{}", show(&plan));
    stack.try_apply_plan(&plan).await.expect("applied");
    let after = requests(&cluster);
    let count = |key: &str| {
        after.get(key).copied().unwrap_or_default() - before.get(key).copied().unwrap_or_default()
    };
    assert_eq!((count("APPLY configmaps dry"), count("APPLY configmaps")), (1, 1));
    for kind in ["namespaces", "serviceaccounts", "resourcequotas"] {
        assert_eq!(
            (
                count(&format!("APPLY {kind} dry")),
                count(&format!("APPLY {kind}"))
            ),
            (0, 0),
            "{kind}"
        );
    }
    assert!(
        elapsed < Duration::from_secs(10),
        "a plan over 600 objects took {elapsed:?}"
    );
}
