//! Starting and stopping a simulator, in its own thread with its own actix system.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::{App, HttpServer, rt::System, web};

use crate::{options::Options, realtime, rest::serve, state::State};

/// The state that all requests share.
pub struct Shared {
    state: Mutex<State>,
}

impl Shared {
    /// The state, locked. A panic elsewhere does not lock everybody out.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The TCP connection of a request, so that it can be cut without an answer.
#[derive(Clone)]
pub struct Wire(Arc<TcpStream>);

impl Wire {
    /// Cuts the connection.
    pub fn cut(&self) {
        // It may be gone already, which is what is wanted.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn remember_wire(connection: &dyn std::any::Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() else {
        return;
    };
    // Frames are small and many: without this each burst would wait for the client's delayed ACK.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    if let Ok(copy) = stream.as_fd().try_clone_to_owned() {
        extensions.insert(Wire(Arc::new(TcpStream::from(copy))));
    }
}

/// A Rocket.Chat simulator.
pub struct Sim;

/// A simulator that runs. Dropping it stops it abruptly, as a killed server.
pub struct RunningSim {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    handle: ServerHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Sim {
    /// Starts a simulator in its own thread; it accepts connections when this returns.
    pub fn start(options: Options) -> std::io::Result<RunningSim> {
        let listener = TcpListener::bind(&options.listen)?;
        let address = listener.local_addr()?;
        let site_url = options
            .site_url
            .clone()
            .unwrap_or_else(|| format!("http://{address}"));
        let workers = options.workers.max(1);
        let state = State::open(options, &site_url)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
        });
        let data = web::Data::from(Arc::clone(&shared));
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("sim-{}", address.port()))
            .spawn(move || {
                System::new().block_on(async move {
                    let server = HttpServer::new(move || {
                        App::new()
                            .app_data(data.clone())
                            .route("/websocket", web::get().to(realtime::open))
                            .default_service(web::to(serve::serve))
                    })
                    .on_connect(remember_wire)
                    .workers(workers)
                    .keep_alive(Duration::from_secs(75))
                    .disable_signals()
                    .listen(listener)?
                    .run();
                    // The receiver waits for this; it can only be gone when the caller is.
                    let _ = tell.send(server.handle());
                    server.await
                })
            })?;
        let handle = told
            .recv()
            .map_err(|_| std::io::Error::other("the server did not start"))?;
        Ok(RunningSim {
            address,
            shared,
            handle,
            thread: Some(thread),
        })
    }
}

impl RunningSim {
    /// `http://address`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The state, for tests that look inside.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Stops abruptly: connections are cut without a close frame (capture 26).
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        {
            let mut state = self.shared.lock();
            let ids: Vec<u64> = state.hub.all().map(|(id, _)| id).collect();
            for id in ids {
                state.hub.push(id, crate::realtime::hub::Out::Drop);
            }
            state.journal.flush();
        }
        // The command is sent at once; waiting for it would need this thread's own runtime.
        drop(self.handle.stop(false));
        if let Ok(Err(error)) = thread.join() {
            tracing::error!(%error, "the server ended with an error");
        }
    }
}

impl Drop for RunningSim {
    fn drop(&mut self) {
        self.end();
    }
}
