//! The client configuration of a cluster: the kubeconfig, a context, and the proxy.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use terrace_artifact::Text;
use terrace_deployer_model::failure::{Failure, FailureKind};

/// Reads the client configuration of a context from the kubeconfig at `path`, or from the default one.
pub(crate) async fn configuration(path: Option<&PathBuf>, context: &Text) -> Result<kube::Config, Failure> {
    let read = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let shown = path.map_or_else(|| "~/.kube/config".to_owned(), |path| path.display().to_string());
    let kubeconfig = read.map_err(|error| {
        let message = match &error {
            KubeconfigError::ReadConfig(error, _) if error.kind() == io::ErrorKind::NotFound => {
                format!("kubeconfig `{shown}` does not exist")
            }
            error => format!("kubeconfig `{shown}` cannot be read: {error}"),
        };
        Failure::new(FailureKind::Broken, message)
            .hint("name a kubeconfig with `--kubeconfig`, or in `KUBECONFIG`")
    })?;
    let contexts: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|named| named.name.clone())
        .collect();
    if !contexts.iter().any(|name| name == context) {
        let message = format!("kubeconfig `{shown}` has no context `{context}`");
        let failure = Failure::new(FailureKind::Broken, message);
        let nearest = terrace_catalog::nearest(context, contexts.iter().map(String::as_str));
        return Err(match nearest {
            Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
            None if contexts.is_empty() => failure.hint("use another kubeconfig: this one has no contexts"),
            None => failure.hint(format!("name one of its contexts: `{}`", contexts.join("`, `"))),
        });
    }
    let has_own_proxy = has_own_proxy(&kubeconfig, context);
    let options = KubeConfigOptions {
        context: Some(context.to_string()),
        ..KubeConfigOptions::default()
    };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| {
        let message = format!("context `{context}` of kubeconfig `{shown}` cannot be used");
        Failure::new(FailureKind::Broken, message).server(error.to_string())
    })?;
    // The client takes HTTPS_PROXY from the environment, but compares NO_PROXY with the host of the proxy instead of the server.
    let exceptions = std::env::var("NO_PROXY")
        .or_else(|_| std::env::var("no_proxy"))
        .unwrap_or_default();
    if !has_own_proxy && is_direct(config.cluster_url.host().unwrap_or_default(), &exceptions) {
        config.proxy_url = None;
    }
    // `Requests` retries and knows when to stop. The client itself would retry for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(10));
    Ok(config)
}

/// Returns whether the kubeconfig names a proxy for the cluster of a context.
fn has_own_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let named = kubeconfig.contexts.iter().find(|named| named.name == context);
    let cluster = named
        .and_then(|named| named.context.as_ref())
        .map(|context| context.cluster.as_str());
    kubeconfig
        .clusters
        .iter()
        .filter(|named| Some(named.name.as_str()) == cluster)
        .filter_map(|named| named.cluster.as_ref())
        .any(|cluster| cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty()))
}

/// Returns whether the client must bypass the proxy of the environment for a host. This holds for the local machine, and for the hosts
/// in `NO_PROXY`, which lists hosts, domains with their subdomains, addresses and networks.
fn is_direct(host: &str, exceptions: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    exceptions
        .split(',')
        .map(str::trim)
        .filter(|exception| !exception.is_empty())
        .any(|exception| {
            let domain = exception.trim_start_matches("*.").trim_start_matches('.');
            exception == "*"
                || host.eq_ignore_ascii_case(domain)
                || (address.is_none()
                    && host
                        .to_ascii_lowercase()
                        .ends_with(&format!(".{}", domain.to_ascii_lowercase())))
                || matches!(address, Some(IpAddr::V4(address)) if is_in_network(address, exception))
        })
}

fn is_in_network(address: Ipv4Addr, network: &str) -> bool {
    let Some((base, bits)) = network.split_once('/') else {
        return false;
    };
    match (base.parse::<Ipv4Addr>(), bits.parse::<u32>()) {
        (Ok(base), Ok(bits @ 0..=32)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(address) & mask == u32::from(base) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bypasses_the_proxy_for_local_and_excepted_hosts() {
        for (host, exceptions) in [
            ("127.0.0.1", ""),
            ("[::1]", ""),
            ("localhost", ""),
            ("a.example.com", "other, .example.com"),
            ("example.com", "example.com"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3"),
            ("anything", "*"),
        ] {
            assert!(is_direct(host, exceptions), "{host} {exceptions}");
        }
        for (host, exceptions) in [
            ("example.com", ""),
            ("badexample.com", "example.com"),
            ("11.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", ".2.3"),
        ] {
            assert!(!is_direct(host, exceptions), "{host} {exceptions}");
        }
    }
}
