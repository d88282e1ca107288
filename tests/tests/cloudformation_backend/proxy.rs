//! A proxy between the program and the endpoint. It records requests, and cuts the connection at one of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The fault that a proxy injects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Never,
    /// Cuts the connection before the request of this number (from 1) is delivered.
    Before(usize),
    /// Delivers the request of this number (from 1), and cuts the connection before its response.
    After(usize),
    /// Delivers the first request of this name, and cuts the connection before its response.
    AfterThe(&'static str),
    /// Answers every second request to CloudFormation with its throttling error.
    Throttle,
    /// Answers the requests whose body matches with the error of AWS for a missing permission.
    Deny(fn(&str) -> bool),
}

/// A recorded request.
struct Seen {
    name: String,
    head: String,
    body: String,
}

/// A proxy on its own port. It stops when it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    dead: watch::Receiver<bool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(upstream: &str, cut: Cut) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let upstream = upstream
            .strip_prefix("http://")
            .expect("an http address")
            .to_owned();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kill, dead) = watch::channel(false);
        let line = Line {
            upstream,
            cut,
            count: AtomicUsize::new(0),
            seen: seen.clone(),
            kill,
        };
        let line = Arc::new(line);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let line = line.clone();
                tokio::spawn(async move {
                    let _ = line.serve(stream).await;
                });
            }
        });
        Proxy {
            url,
            seen,
            dead,
            serving,
        }
    }

    /// Waits until the connection is cut.
    pub(crate) async fn dead(&self) {
        let mut dead = self.dead.clone();
        let _ = dead.wait_for(|dead| *dead).await;
    }

    /// Returns the names of all requests: `DescribeStacks`, `PUT environments/acme.dev/lock`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|request| request.name.clone()).collect()
    }

    /// Returns the first line and the headers of each request.
    pub(crate) fn heads(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|request| request.head.clone()).collect()
    }

    /// Returns the body of each request.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|request| request.body.clone()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Line {
    upstream: String,
    cut: Cut,
    count: AtomicUsize,
    seen: Arc<Mutex<Vec<Seen>>>,
    kill: watch::Sender<bool>,
}

impl Line {
    /// Serves one request and closes the connection.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        let head = loop {
            let mut buffer = [0; 16 * 1024];
            let read = client.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..read]);
            if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
                break String::from_utf8_lossy(&request[..end]).into_owned();
            }
        };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok())
            .unwrap_or(0);
        let body = head.len() + 4;
        while request.len() < body + length {
            let mut buffer = [0; 16 * 1024];
            let read = client.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            request.extend_from_slice(&buffer[..read]);
        }
        if *self.kill.borrow() {
            return Ok(());
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let name = request_name(&head, &request[body..]);
        let seen = Seen {
            name: name.clone(),
            head: head.clone(),
            body: String::from_utf8_lossy(&request[body..]).into_owned(),
        };
        self.seen.lock().expect("no panic").push(seen);
        if matches!(self.cut, Cut::Before(at) if at == number) {
            self.kill.send_replace(true);
            return Ok(());
        }
        let text = String::from_utf8_lossy(&request[body..]);
        let refusal = match self.cut {
            Cut::Throttle if text.starts_with("Action=") && number.is_multiple_of(2) => {
                Some((400, "Throttling", "Rate exceeded"))
            }
            Cut::Deny(picks) if picks(&text) => Some((
                403,
                "AccessDenied",
                "User: arn:aws:iam::1:user/ben is not authorized to do that",
            )),
            _ => None,
        };
        if let Some((status, code, message)) = refusal {
            client.write_all(error(status, code, message).as_bytes()).await?;
            return client.shutdown().await;
        }
        let mut server = TcpStream::connect(&self.upstream).await?;
        let mut lines = head.lines();
        let mut out = format!("{}\r\n", lines.next().unwrap_or_default());
        for line in lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
            out.push_str(line);
            out.push_str("\r\n");
        }
        out.push_str("connection: close\r\n\r\n");
        server.write_all(out.as_bytes()).await?;
        server.write_all(&request[body..]).await?;
        let mut response = Vec::new();
        server.read_to_end(&mut response).await?;
        let last = match self.cut {
            Cut::After(at) => at == number,
            Cut::AfterThe(request) => name == request,
            _ => false,
        };
        if last {
            self.kill.send_replace(true);
            return Ok(());
        }
        client.write_all(&response).await?;
        client.shutdown().await
    }
}

fn request_name(head: &str, body: &[u8]) -> String {
    let first = head.lines().next().unwrap_or_default();
    let body = String::from_utf8_lossy(body);
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    match action {
        Some(action) => action.to_owned(),
        None => {
            let mut words = first.split(' ');
            let method = words.next().unwrap_or_default();
            let path = words
                .next()
                .unwrap_or_default()
                .split('?')
                .next()
                .unwrap_or_default();
            let key = path.splitn(3, '/').nth(2).unwrap_or_default();
            format!("{method} {key}")
        }
    }
}

fn error(status: u16, code: &str, message: &str) -> String {
    let text = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    let length = text.len();
    format!(
        "HTTP/1.1 {status} No\r\ncontent-type: text/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}
