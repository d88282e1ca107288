//! How a cluster is reached, by whom, and by how many at once.

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

/// The wrong cluster, one that does not answer, a context that is not there.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_cluster_that_is_meant() {
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
    let words_of_it = error.to_string();
    assert!(words_of_it.starts_with(&format!(
        "context `local` is cluster `{id}`, and the environment is for cluster `00000000-0000-0000-0000-000000000000`"
    )), "{words_of_it}");

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
        "details: Connection refused",
        "kubectl --context gone get --raw /readyz",
        "help: run it again when the system can be reached",
    ] {
        assert!(unreachable.contains(line), "{line}\n{unreachable}");
    }
    let missing = Stack {
        context: "locall".into(),
        ..Stack::new("reach")
    };
    let missing = words(missing.try_plan(&missing.bundle(CONFIG)).await);
    assert!(
        missing.contains("has no context `locall`\n  help: `local` exists"),
        "{missing}"
    );
    let none = Stack {
        kubeconfig: scratch.path().join("none"),
        ..Stack::new("reach")
    };
    let none = words(none.try_plan(&none.bundle(CONFIG)).await);
    assert!(none.starts_with("there is no kubeconfig "), "{none}");
}

/// What the limited user of the test cluster is granted, step by step.
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

/// From no rights to enough, each refusal names the rule that is missing; rights to read are enough for a plan.
#[tokio::test(flavor = "multi_thread")]
async fn rights_one_by_one() {
    // Its own cluster: what is granted to the user `limited` must not reach other tests.
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
        "no right to `get` namespaces in the cluster",
        "details: namespaces \"kube-system\" is forbidden: User \"limited\" cannot get resource \"namespaces\"",
        "the rules that would allow it:\n    # in a ClusterRole: which cluster this is\n    - apiGroups: [\"\"]\n      resources: [\"namespaces\"]\n      resourceNames: [\"kube-system\"]\n      verbs: [get]",
        "resources: [\"leases\"]\n      verbs: [get, create, update, delete]",
        "help: the uid of this namespace is the cluster's identity",
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
        denied.contains("no right to `get` configmaps in namespace `limited`"),
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
            "note: no right to `patch` configmaps: planned from what was read, without asking the server"
        ),
        "{}",
        show(&plan)
    );

    // With rights in the home but none to write, nothing begins.
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
            "no right to `create` and `patch` configmaps in namespace `limited`, so nothing was applied"
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
    // With rights to read only, what would change is worked out here.
    grant(
        &admin,
        "terrace-write",
        Some("limited"),
        "[{apiGroups: [''], resources: [configmaps], verbs: [list]}]",
    );
    let plan = limited.plan(&CONFIG.replace("blue", "green")).await;
    assert!(
        show(&plan).contains("  data.color: \"blue\" -> \"green\"\n  note: no right to `patch`"),
        "{}",
        show(&plan)
    );

    let denied = words(limited.try_apply("").await);
    assert!(
        denied.contains("no right to `delete` configmaps in namespace `limited`"),
        "{denied}"
    );
}

/// Whatever is missing is told at once: all objects with their lines, all rules; and an apply that lacks a right does not begin.
#[tokio::test(flavor = "multi_thread")]
async fn all_missing_rights_at_once() {
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

    // Not even to be read.
    let denied = words(limited.try_plan(&limited.bundle(YAML)).await);
    expect![[r#"
        rights are missing for 3 objects in namespace `sales`
          details: WORDS
          platform/tenants/configmap-more: `get` ConfigMap sales/more
            declared at components.yaml:7:3, for the component at components.yaml:1:3
          platform/tenants/configmap-settings: `get` ConfigMap sales/settings
            declared at components.yaml:7:3, for the component at components.yaml:1:3
          platform/tenants/serviceaccount-runner: `get` ServiceAccount sales/runner
            declared at components.yaml:7:3, for the component at components.yaml:1:3
          a rule that would allow it:
            # in a Role of namespace sales
            - apiGroups: [""]
              resources: ["configmaps", "serviceaccounts"]
              verbs: [get, list, create, patch]
    "#]]
    .assert_eq(&without_the_servers_words(&denied));

    // To be read, and no more; nor is there anything in the home.
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
        no right to `create` leases.coordination.k8s.io in namespace `terrace-system`
          details: WORDS
          the rules that would allow it:
            # in a ClusterRole: which cluster this is
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
    .assert_eq(&without_the_servers_words(&denied));

    // What was named is enough for the home.
    let own = "[{apiGroups: [''], resources: [secrets], verbs: [get, list, create, delete]},
                {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update, delete]}]";
    grant(&admin, "terrace-home", Some("terrace-system"), own);
    let plan = limited.plan(YAML).await;
    let denied = words(limited.try_apply_plan(&plan).await);
    expect![[r#"
        rights are missing for 3 objects in namespace `sales`, so nothing was applied
          platform/tenants/configmap-more: `create` and `patch` ConfigMap sales/more
            declared at components.yaml:7:3, for the component at components.yaml:1:3
          platform/tenants/configmap-settings: `create` and `patch` ConfigMap sales/settings
            declared at components.yaml:7:3, for the component at components.yaml:1:3
          platform/tenants/serviceaccount-runner: `create` and `patch` ServiceAccount sales/runner
            declared at components.yaml:7:3, for the component at components.yaml:1:3
          a rule that would allow it:
            # in a Role of namespace sales
            - apiGroups: [""]
              resources: ["configmaps", "serviceaccounts"]
              verbs: [get, list, create, patch]
          help: run it again when this is allowed
    "#]]
    .assert_eq(&without_the_servers_words(&denied));
    // Nothing is recorded of what was not begun, and nobody waits to finish it.
    let plan = limited.plan(YAML).await;
    assert_eq!((plan.follows.as_ref(), plan.notes.as_slice()), (None, &[][..]));
    assert_eq!(
        admin.kubectl("get configmaps --namespace=finance --selector=terrace.dev/stack --output=name"),
        ""
    );

    grant(&admin, "terrace", Some("sales"), all);
    limited.apply(YAML).await;

    // One object that may not be changed is what the message begins with; what is to go is declared nowhere.
    grant(&admin, "terrace", Some("sales"), read);
    let changed = YAML.replacen("blue", "green", 1);
    let denied = words(limited.try_apply(&changed).await);
    expect![[r#"
        platform/tenants/configmap-settings: no right to `patch` configmaps in namespace `sales`, so nothing was applied
          declared at components.yaml:7:3, for the component at components.yaml:1:3
          a rule that would allow it:
            # in a Role of namespace sales
            - apiGroups: [""]
              resources: ["configmaps"]
              verbs: [get, list, create, patch]
          help: run it again when this is allowed
    "#]]
    .assert_eq(&without_the_servers_words(&denied));
    let denied = words(
        limited
            .try_apply(changed.split_once("---").expect("several").0)
            .await,
    );
    expect![[r#"
        rights are missing for 4 objects in namespaces `finance` and `sales`, so nothing was applied
          platform/tenants/configmap-settings: `delete` ConfigMap finance/settings
          platform/tenants/configmap-more: `delete` ConfigMap sales/more
          platform/tenants/configmap-settings: `patch` ConfigMap sales/settings
            declared at components.yaml:7:3, for the component at components.yaml:1:3
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
          help: run it again when this is allowed
    "#]]
    .assert_eq(&without_the_servers_words(&denied));
}

/// A failure, without the server's own words.
fn without_the_servers_words(words: &str) -> String {
    let lines = words.lines().map(|line| match line.split_once("details: ") {
        Some((before, _)) => format!("{before}details: WORDS\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// A bundle of more than a Secret holds is kept in parts, and comes back whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_bundle_is_kept_in_parts() {
    let stack = Stack::new("parts");
    // Text that does not pack: the bundle is more than one Secret holds.
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
    // A plan reads it whole, or says that it cannot.
    let part = parts.lines().next().expect("a part");
    stack.kubectl(&format!("delete {part} --namespace=terrace-system"));
    let broken = words(stack.try_plan(&stack.bundle(&yaml)).await);
    assert!(
        broken.contains("in namespace terrace-system of cluster local lacks a part"),
        "{broken}"
    );
}

/// One apply at a time, and the one that comes second is told who holds the lock.
#[tokio::test(flavor = "multi_thread")]
async fn one_apply_at_a_time_in_one_home() {
    let stack = Stack::new("home");
    let yaml = "{apiVersion: v1, kind: Namespace, metadata: {name: $N}}\n";
    stack.apply(yaml).await;
    // A slow apply holds the lock.
    let slow = workload("Deployment", "web", "replicas: 1", "web:1", "900");
    let first = Stack {
        timeout: Duration::from_secs(20),
        ..Stack::new("home")
    };
    let (one, two) = (format!("{yaml}---{slow}"), format!("{yaml}---{CONFIG}"));
    let (running, plan) = (first.plan(&one).await, stack.plan(&two).await);
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
        "the lock was not given back"
    );

    // A holder that was killed is waited for, and then the next goes on.
    stack.cluster.apply(
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: home.testing, namespace: terrace-system}, spec: {holderIdentity: ghost, leaseDurationSeconds: 3}}",
    );
    let begun = Instant::now();
    let plan = stack.plan(&two).await;
    stack.try_apply_plan(&plan).await.expect("taken over");
    assert!(begun.elapsed() > Duration::from_secs(3));
}

/// One tenant of many changed costs a write or two and the reading; the others nothing.
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
    let one = yaml.replace(
        "namespace: many-77}, data: {color: blue}",
        "namespace: many-77}, data: {color: green}",
    );
    assert_ne!(one, yaml);
    let before = requests(&cluster);
    let begun = Instant::now();
    let plan = stack.plan(&one).await;
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
