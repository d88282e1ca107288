//! Stands between `terrace` and the servers, counts its calls, and lets one of them go unanswered.
//!
//! That is how a test ends an apply at a known place: after a call has taken effect and before the program hears of it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::servers::{Api, Cluster, Endpoint};

/// Counts the calls of one run of the program to all its servers.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<(Mutex<Counted>, Condvar)>);

#[derive(Debug, Default)]
struct Counted {
    made: Vec<String>,
    /// The number of the call that is to go unanswered, from 1.
    last: Option<usize>,
    reached: bool,
}

impl Calls {
    /// Counts, and answers all.
    pub fn counted() -> Calls {
        Calls::default()
    }

    /// Answers this many less one: the last takes effect and is not answered, and nothing after it reaches a server.
    pub fn cut_at(last: usize) -> Calls {
        let calls = Calls::default();
        calls.lock().last = Some(last);
        calls
    }

    /// What was called, in order: `POST / CreateChangeSet`, `PATCH /api/v1/namespaces/x`.
    pub fn made(&self) -> Vec<String> {
        self.lock().made.clone()
    }

    /// Waits until the last call has taken effect, or the program has ended without making as many. Says whether it has
    /// been reached.
    ///
    /// # Panics
    ///
    /// When neither happens in two minutes.
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
                "the program neither ends nor calls; so far {:#?}",
                counted.made
            );
            let waited = self.0.1.wait_timeout(counted, Duration::from_millis(20));
            counted = waited.map_or_else(|error| error.into_inner().0, |(counted, _)| counted);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call. Says whether it may be made, and whether it may be answered.
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

/// A server of plain HTTP that counts and hands on.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    /// What speaks TLS with the cluster for us.
    _api: Option<Api>,
}

impl Proxy {
    /// In front of an AWS endpoint.
    ///
    /// # Panics
    ///
    /// When there is no port for it.
    #[track_caller]
    pub fn of_endpoint(endpoint: &Endpoint, calls: &Calls) -> Proxy {
        let upstream = endpoint.url().trim_start_matches("http://").to_owned();
        Proxy {
            url: serve(upstream, calls.clone()),
            _api: None,
        }
    }

    /// In front of a cluster, as its administrator.
    ///
    /// # Panics
    ///
    /// When there is no way to it.
    #[track_caller]
    pub fn of_cluster(cluster: &Cluster, calls: &Calls) -> Proxy {
        let api = Api::of(cluster);
        Proxy {
            url: serve(api.host().to_owned(), calls.clone()),
            _api: Some(api),
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes a kubeconfig with which a context leads here.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, context: &str) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context:?}\n\
             clusters: [{{name: proxy, cluster: {{server: {:?}}}}}]\n\
             users: [{{name: proxy, user: {{}}}}]\n\
             contexts: [{{name: {context:?}, context: {{cluster: proxy, user: proxy}}}}]\n",
            self.url
        );
        fs::write(path, text).expect("a place for the kubeconfig");
    }
}

/// Serves on a free port for as long as this process lives.
fn serve(upstream: String, calls: Calls) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (upstream, calls) = (upstream.clone(), calls.clone());
            // A connection that breaks is the program's to notice.
            thread::spawn(move || hand_on(client, &upstream, &calls));
        }
    });
    url
}

/// One request and its answer; the connection ends with it, so that no request hides behind another.
fn hand_on(client: TcpStream, upstream: &str, calls: &Calls) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let Some(request) = Request::read(&mut client)? else {
        return Ok(());
    };
    let (make, answer) = calls.count(request.shown());
    if !make {
        // It holds still until it is killed: an error here would be one more thing it has to deal with.
        return wait_for_end(client.get_mut());
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(&request.without_keeping_alive())?;
    if answer {
        io::copy(&mut server, client.get_mut())?;
        return client.get_mut().shutdown(std::net::Shutdown::Both);
    }
    let mut first = [0];
    server.read_exact(&mut first)?; // it has taken effect when the answer begins
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

    /// Chunks are handed on as they came, framing and all.
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
                // trailers, up to an empty line
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
            .find(|(found, _)| found == name)
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

    /// The method and the path, and the action of AWS's query protocol.
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
