//! The network between the stream and its broker, as a proxy that can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bit more than what the broker sends at once.
const BUFFER_BYTES: usize = 256 << 10;
/// How often a network that stands still looks whether it goes on.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Fair,
    /// Everything that is sent takes so much longer.
    Slow(Duration),
    /// Connections break, and none can be made.
    Cut,
    /// Connections stay, and what is sent arrives when it is over.
    Still,
    /// Connections stay, and what the broker sends is lost: it does what it is asked, unheard.
    AnswersLost,
    /// Connections stay, and what the broker is sent is lost.
    QuestionsLost,
}

/// The two ends of a connection.
type Ends = (TcpStream, TcpStream);

#[derive(Debug)]
struct State {
    weather: Weather,
    next: u64,
    open: BTreeMap<u64, Ends>,
}

/// A proxy on loopback.
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    state: Arc<Mutex<State>>,
    target: Arc<Mutex<Option<SocketAddr>>>,
    port: u16,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToBroker,
    ToClient,
}

impl Proxy {
    /// Listens on a free port; until it has a target whoever comes is sent away.
    pub(super) fn open() -> std::io::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let state = State { weather: Weather::Fair, next: 0, open: BTreeMap::new() };
        let proxy = Proxy { state: Arc::new(Mutex::new(state)), target: Arc::default(), port };
        let own = proxy.clone();
        // It ends with the program.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // One that could not be connected is closed.
                let _ = own.connect(client);
            }
        });
        Ok(proxy)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn lead_to(&self, target: SocketAddr) {
        *lock(&self.target) = Some(target);
    }

    /// Changes the weather. Where bytes were lost no connection can go on.
    pub(super) fn set(&self, weather: Weather) {
        let was = std::mem::replace(&mut lock(&self.state).weather, weather);
        let lossy = matches!(was, Weather::AnswersLost | Weather::QuestionsLost);
        if lossy || weather == Weather::Cut {
            self.drop_all();
        }
    }

    /// Breaks all connections; new ones can be made.
    pub(super) fn drop_all(&self) {
        for (client, broker) in std::mem::take(&mut lock(&self.state).open).into_values() {
            close(&client);
            close(&broker);
        }
    }

    fn weather(&self) -> Weather {
        lock(&self.state).weather
    }

    fn connect(&self, client: TcpStream) -> std::io::Result<()> {
        let target = *lock(&self.target);
        let Some(target) = target.filter(|_| self.weather() != Weather::Cut) else {
            return Ok(());
        };
        let broker = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let ends = (client.try_clone()?, broker.try_clone()?);
        let number = {
            let mut state = lock(&self.state);
            state.next += 1;
            let number = state.next;
            state.open.insert(number, ends);
            number
        };
        let (client_back, broker_back) = (client.try_clone()?, broker.try_clone()?);
        for (from, to, way) in
            [(client, broker, Way::ToBroker), (broker_back, client_back, Way::ToClient)]
        {
            let own = self.clone();
            std::thread::spawn(move || {
                own.pump(&from, &to, way);
                lock(&own.state).open.remove(&number);
                close(&from);
                close(&to);
            });
        }
        Ok(())
    }

    /// Takes bytes from one end to the other until one of them is closed.
    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, way: Way) {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            while self.weather() == Weather::Still {
                std::thread::sleep(LOOK_AGAIN);
            }
            match (self.weather(), way) {
                (Weather::AnswersLost, Way::ToClient) | (Weather::QuestionsLost, Way::ToBroker) => {
                    continue;
                }
                (Weather::Slow(time), _) => std::thread::sleep(time),
                _ => {}
            }
            if to.write_all(&buffer[..bytes]).is_err() {
                return;
            }
        }
    }
}

/// That the other side closed it first is no failure.
fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

/// What is behind a lock is whole after every line.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut buffer = [0; 64];
                    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
                        if stream.write_all(&buffer[..bytes]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    /// What comes back of a byte; none where nothing does in time, or the connection is broken.
    fn asked(stream: &mut TcpStream, byte: u8) -> Option<u8> {
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream.write_all(&[byte]).ok()?;
        let mut back = [0];
        stream.read_exact(&mut back).ok()?;
        Some(back[0])
    }

    #[test]
    fn the_network_is_as_bad_as_it_is_told_to_be_and_mends() {
        let proxy = Proxy::open().unwrap();
        proxy.lead_to(echo());
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        let mut stream = connect();
        assert_eq!(asked(&mut stream, 1), Some(1));
        proxy.set(Weather::Still);
        assert_eq!(asked(&mut stream, 2), None, "it waits");
        proxy.set(Weather::Fair);
        let mut back = [0];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [2], "it arrives");
        for lossy in [Weather::AnswersLost, Weather::QuestionsLost] {
            proxy.set(lossy);
            assert_eq!(asked(&mut stream, 3), None, "it is lost");
            proxy.set(Weather::Fair);
            assert_eq!(asked(&mut stream, 4), None, "what lost bytes is not gone on with");
            stream = connect();
            assert_eq!(asked(&mut stream, 5), Some(5));
        }
        proxy.set(Weather::Cut);
        assert_eq!(asked(&mut stream, 6), None);
        assert_eq!(asked(&mut connect(), 7), None);
        proxy.set(Weather::Slow(Duration::from_millis(20)));
        assert_eq!(asked(&mut connect(), 8), Some(8));
    }
}
