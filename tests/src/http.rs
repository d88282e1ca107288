//! A minimal HTTP client for our own servers on 127.0.0.1.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A request that is sent unchanged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Headers in addition to those of the connection and the length of the body.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a str,
}

/// Sends a request and returns the status and the body of the answer. Uses HTTP/1.0, so that the answer ends with the
/// connection and is not chunked.
pub(crate) fn send(url: &str, request: Request<'_>) -> Result<(u16, String), String> {
    let host = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("`{url}` is not an http address"))?;
    let failed = |error: std::io::Error| format!("{} {}: {error}", request.method, request.path);
    let mut stream = TcpStream::connect(host).map_err(failed)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .map_err(failed)?;
    let mut text = format!(
        "{} {} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n",
        request.method,
        request.path,
        request.body.len()
    );
    for (name, value) in request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    write!(stream, "{text}\r\n{}", request.body).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("no answer: {answer}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((
        status.ok_or_else(|| format!("no status: {head}"))?,
        body.to_owned(),
    ))
}
