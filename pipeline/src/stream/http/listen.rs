//! A listener that answers with routes, on threads of its own, with TLS where it is configured.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;

use super::connections::{Counts, Door, Limits};
use super::failed;
use crate::diagnostic::{Failure, Message};

/// Threads that answer requests: they wait most of the time.
const THREADS: usize = 2;
/// How long answers that are under way may take when the program ends.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// How often somebody looks whether the certificate is to be read again.
const RENEWAL_LOOKED_FOR: Duration = Duration::from_millis(250);

/// A listener that answers until it is dropped.
pub(in crate::stream) struct Listening {
    handle: Handle<SocketAddr>,
    thread: Option<JoinHandle<()>>,
}

/// Takes an address.
///
/// # Errors
/// When it is taken (exit 3).
pub(in crate::stream) fn take(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        Failure::Environment(Message::new(
            format!("cannot listen on {address}: {error}"),
            format!("无法监听 {address}：{error}"),
        ))
    })
}

impl Listening {
    /// Begins to answer. `tls` are a certificate chain and its key, as PEM files.
    ///
    /// # Errors
    /// When they are none (exit 2), or no threads can be had (exit 3).
    pub(in crate::stream) fn begin(
        listener: TcpListener,
        tls: Option<&(PathBuf, PathBuf)>,
        routes: Router,
        (limits, counts): (Limits, Counts),
    ) -> Result<Listening, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(|error| failed(&error.to_string()))?;
        let tls = match tls {
            None => None,
            Some(paths @ (chain, key)) => {
                // Set by whoever was first; there is one.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let read = runtime.block_on(certified(chain, key));
                let read = read.map_err(|error| {
                    let (chain, key) = (chain.display(), key.display());
                    Failure::Usage(Message::new(
                        format!("{chain} and {key} are no certificate and its key: {error}"),
                        format!("{chain} 与 {key} 不是证书及其私钥：{error}"),
                    ))
                })?;
                runtime.spawn(renew(read.clone(), paths.clone(), hang_up()));
                Some(read)
            }
        };
        let address = listener.local_addr().map_err(|error| failed(&error.to_string()))?;
        let is_tls = tls.is_some();
        let handle = Handle::new();
        let own = handle.clone();
        let limits = limits.within_descriptors();
        let Limits { connections, read, keep_alive } = limits;
        let door = Door { limits, counts };
        let serve = async move {
            let service = routes.into_make_service();
            let server = axum_server::from_tcp(listener)?.handle(own);
            // In the other version a connection that does nothing has no limit.
            let mut server = server.http1_only().first_request_timeout(read);
            // The time of a head runs from the answer before: so it is that of an idle connection too.
            server.http_builder().http1().header_read_timeout(keep_alive);
            match tls {
                None => server.acceptor(door).serve(service).await,
                Some(tls) => {
                    let tls = RustlsAcceptor::new(tls).handshake_timeout(read).acceptor(door);
                    server.acceptor(tls).serve(service).await
                }
            }
        };
        let run = move || {
            if let Err(error) = runtime.block_on(serve) {
                tracing::error!(%error, "nothing is answered any more");
            }
        };
        let thread = std::thread::spawn(run);
        tracing::info!(%address, tls = is_tls, connections, "listening");
        Ok(Listening { handle, thread: Some(thread) })
    }
}

/// A certificate chain and its key, of a server that speaks HTTP/1.1 alone.
async fn certified(chain: &Path, key: &Path) -> std::io::Result<RustlsConfig> {
    let read = RustlsConfig::from_pem_file(chain, key).await?;
    let mut own = ServerConfig::clone(&read.get_inner());
    own.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(own)))
}

/// Hears of SIGHUP: whoever renews a certificate sends it.
fn hang_up() -> Arc<AtomicBool> {
    let asked = Arc::new(AtomicBool::new(false));
    // Without the handler a certificate is read again only when the program begins again.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGHUP, asked.clone());
    asked
}

/// Reads certificate and key again when it is asked to; where they are wrong those before stay.
async fn renew(tls: RustlsConfig, (chain, key): (PathBuf, PathBuf), asked: Arc<AtomicBool>) {
    loop {
        tokio::time::sleep(RENEWAL_LOOKED_FOR).await;
        if asked.swap(false, Ordering::Relaxed) {
            match certified(&chain, &key).await {
                Ok(read) => {
                    tls.reload_from_config(read.get_inner());
                    tracing::info!("the certificate was read again");
                }
                Err(error) => {
                    tracing::error!(%error, "the certificate cannot be read: the one before stays");
                }
            }
        }
    }
}

impl Drop for Listening {
    /// Lets answers go out.
    fn drop(&mut self) {
        self.handle.graceful_shutdown(Some(LAST_ANSWERS));
        if let Some(thread) = self.thread.take() {
            // One that ended badly has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
