//! A proxy between `terrace` and the servers. It counts the calls and can leave one of them unanswered.
//!
//! A test can thus kill an apply at a given point: after a call has taken effect and before the program receives the
//! answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::servers::{Api, Cluster, Endpoint};

/// The calls of one run of the program to all its servers.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<(Mutex<CallCount>, Condvar)>);

#[derive(Debug, Default)]
struct CallCount {
    made: Vec<String>,
    /// The number of the call that is not answered, from 1.
    last: Option<usize>,
    reached: bool,
}

impl Calls {
    /// Counts all calls and answers them.
    pub fn counted() -> Calls {
        Calls::default()
    }

    /// Answers all calls before the call with number `last`. That call takes effect but is not answered, and no later
    /// call reaches a server.
    pub fn cut_at(last: usize) -> Calls {
        let calls = Calls::default();
        calls.lock().last = Some(last);
        calls
    }

    /// Returns the calls in order: `POST / CreateChangeSet`, `PATCH /api/v1/namespaces/x`.
    pub fn made(&self) -> Vec<String> {
        self.lock().made.clone()
    }

    /// Waits until the last call has taken effect, or the program has ended before it. Returns whether the last call
    /// was reached.
    ///
    /// # Panics
    ///
    /// If neither happens within two minutes.
    #[track_caller]
    pub fn wait(&self, program: &mut Child) -> bool {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut counted = self.lock();
        loop {
            if counted.reached {
                return true;
            }
            if !matches!(program.try_wait(), Ok(None)) {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "the program neither ended nor made more calls; its calls: {:#?}",
                counted.made
            );
            let waited = self.0.1.wait_timeout(counted, Duration::from_millis(20));
            counted = waited.map_or_else(|error| error.into_inner().0, |(counted, _)| counted);
        }
    }

    fn lock(&self) -> MutexGuard<'_, CallCount> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call. Returns whether it may be forwarded, and whether it may be answered.
    fn count(&self, call: String) -> (bool, bool) {
        let mut counted = self.lock();
        let Some(last) = counted.last else {
            counted.made.push(call);
            return (true, true);
        };
        if counted.made.len() >= last {
            return (false, false);
        }
        counted.made.push(call);
        (true, counted.made.len() < last)
    }

    fn reach(&self) {
        self.lock().reached = true;
        self.0.1.notify_all();
    }
}

/// A plain HTTP server that counts and forwards requests.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    /// The connection to the cluster, which uses TLS.
    _api: Option<Api>,
}

impl Proxy {
    /// Creates a proxy for an AWS endpoint.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[track_caller]
    pub fn of_endpoint(endpoint: &Endpoint, calls: &Calls) -> Proxy {
        let upstream = endpoint.url().trim_start_matches("http://").to_owned();
        Proxy {
            url: serve(upstream, calls.clone()),
            _api: None,
        }
    }

    /// Creates a proxy for a cluster, with its administrator's permissions.
    ///
    /// # Panics
    ///
    /// If the cluster cannot be reached.
    #[track_caller]
    pub fn of_cluster(cluster: &Cluster, calls: &Calls) -> Proxy {
        let api = Api::of(cluster);
        Proxy {
            url: serve(api.host().to_owned(), calls.clone()),
            _api: Some(api),
        }
    }

    /// Returns the URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a kubeconfig with a context that selects the proxy.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, context: &str) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context:?}\n\
             clusters: [{{name: proxy, cluster: {{server: {:?}}}}}]\n\
             users: [{{name: proxy, user: {{}}}}]\n\
             contexts: [{{name: {context:?}, context: {{cluster: proxy, user: proxy}}}}]\n",
            self.url
        );
        fs::write(path, text).expect("the kubeconfig can be written");
    }
}

/// Serves on a free port until this process ends.
fn serve(upstream: String, calls: Calls) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (upstream, calls) = (upstream.clone(), calls.clone());
            // The program detects a broken connection itself.
            thread::spawn(move || forward(client, &upstream, &calls));
        }
    });
    url
}

/// Forwards one request and its answer. Then the connection ends, so that every request is counted.
fn forward(client: TcpStream, upstream: &str, calls: &Calls) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let Some(request) = Request::read(&mut client)? else {
        return Ok(());
    };
    let (make, answer) = calls.count(request.shown());
    if !make {
        // Does not answer until the program is killed, because an error would make the program continue.
        return wait_for_end(client.get_mut());
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(&request.without_keeping_alive())?;
    if answer {
        io::copy(&mut server, client.get_mut())?;
        return client.get_mut().shutdown(std::net::Shutdown::Both);
    }
    let mut first = [0];
    server.read_exact(&mut first)?; // when the answer begins, the call has taken effect
    calls.reach();
    wait_for_end(client.get_mut())
}

fn wait_for_end(client: &mut TcpStream) -> io::Result<()> {
    io::copy(client, &mut io::sink()).map(drop)
}

struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(from: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request {
            line: line.trim_end().to_owned(),
            headers,
            body: Vec::new(),
        };
        if let Some(length) = request
            .header("content-length")
            .and_then(|length| length.parse().ok())
        {
            request.body.resize(length, 0);
            from.read_exact(&mut request.body)?;
        } else if request
            .header("transfer-encoding")
            .is_some_and(|encoding| encoding == "chunked")
        {
            request.read_chunks(from)?;
        }
        Ok(Some(request))
    }

    /// Reads chunks and forwards them unchanged, including their framing.
    fn read_chunks(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        loop {
            let start = self.body.len();
            from.read_until(b'\n', &mut self.body)?;
            let size = String::from_utf8_lossy(&self.body[start..]).trim().to_owned();
            let size = size
                .split(';')
                .next()
                .and_then(|size| usize::from_str_radix(size, 16).ok());
            let Some(size) = size else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if size == 0 {
                // The trailers end with an empty line.
                while from.read_until(b'\n', &mut self.body)? > 2 {}
                return Ok(());
            }
            let start = self.body.len();
            self.body.resize(start + size + 2, 0);
            from.read_exact(&mut self.body[start..])?;
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn without_keeping_alive(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            if !["connection", "expect"].contains(&name.as_str()) {
                bytes.extend(format!("{name}: {value}\r\n").into_bytes());
            }
        }
        bytes.extend(b"connection: close\r\n\r\n");
        bytes.extend(&self.body);
        bytes
    }

    /// Returns the method and the path, and the action of AWS's query protocol.
    fn shown(&self) -> String {
        let mut words = self.line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = String::from_utf8_lossy(&self.body);
        match body.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
            Some(action) => format!("{method} {path} {action}"),
            None => format!("{method} {path}"),
        }
    }
}
