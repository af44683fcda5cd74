//! Devices of other hosts, by Burn's remote devices over WebSocket.
//!
//! The other host runs `mllmseg serve-device`; every operation travels there as a message, and its
//! tensors stay there. The protocol has neither passwords nor encryption.

use std::fmt;
use std::net::TcpListener;
use std::str::FromStr;

use super::choice::SelectedDevice;
use super::error::DeviceError;

/// Where a device is served, written `remote:ws://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteAddress {
    host: String,
    port: u16,
}

impl FromStr for RemoteAddress {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let address = text.strip_prefix("remote:ws://").map(|rest| rest.trim_end_matches('/'));
        let parts = address.and_then(|address| address.rsplit_once(':'));
        let parts = parts.filter(|(host, _)| !host.is_empty() && !host.contains(['/', '@', ' ']));
        let parts = parts.and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
        let unknown = || DeviceError::RemoteAddress(text.to_string());
        parts.map(|(host, port)| Self { host, port }).ok_or_else(unknown)
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remote:ws://{}:{}", self.host, self.port)
    }
}

#[cfg(not(feature = "remote"))]
impl RemoteAddress {
    /// Never: remote devices are not built in.
    pub fn connect(&self) -> Result<SelectedDevice, DeviceError> {
        Err(DeviceError::RemoteNotBuilt)
    }
}

/// Never: remote devices are not built in.
#[cfg(not(feature = "remote"))]
pub fn serve(_: &SelectedDevice, _: TcpListener) -> Result<(), DeviceError> {
    Err(DeviceError::RemoteNotBuilt)
}

#[cfg(feature = "remote")]
mod built_in {
    use std::net::{TcpStream, ToSocketAddrs};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use burn::remote::RemoteHost;
    use burn::server::{RemoteServer, WebSocketTransport};
    use burn::tensor::Device;

    use super::*;

    /// How long a host may take to accept a connection.
    const CONNECT: Duration = Duration::from_secs(5);

    /// How long its server may take to answer.
    const ANSWER: Duration = Duration::from_secs(15);

    impl RemoteAddress {
        /// Connects, which takes some seconds at most.
        ///
        /// # Errors
        /// [`DeviceError::Unreachable`].
        pub fn connect(&self) -> Result<SelectedDevice, DeviceError> {
            let address = format!("{}:{}", self.host, self.port);
            let unreachable = |reason| DeviceError::Unreachable(address.clone(), reason);
            self.probe().map_err(unreachable)?;
            let host = RemoteHost::websocket(&format!("ws://{address}"));
            // What accepts connections and sends nothing is not a server of devices.
            let (sender, answer) = mpsc::channel();
            let connect = move || {
                let outcome = Device::remote_options(&host).init();
                let _ = sender.send(outcome.map_err(|error| error.to_string()));
            };
            thread::spawn(connect);
            let silent = || format!("no answer within {} s", ANSWER.as_secs());
            let device = answer.recv_timeout(ANSWER).map_err(|_| unreachable(silent()))?;
            let (id, device) = (self.to_string(), device.map_err(unreachable)?);
            Ok(SelectedDevice { device, name: id.clone(), id, is_hardware_gpu: false })
        }

        /// Whether anything listens there; Burn alone would try for a quarter of a minute.
        fn probe(&self) -> Result<(), String> {
            let host = self.host.trim_start_matches('[').trim_end_matches(']');
            let addresses = (host, self.port).to_socket_addrs().map_err(|e| e.to_string())?;
            let mut reason = "its name has no address".to_string();
            for address in addresses {
                match TcpStream::connect_timeout(&address, CONNECT) {
                    Ok(_) => return Ok(()),
                    Err(error) => reason = error.to_string(),
                }
            }
            Err(reason)
        }
    }

    /// Lets other hosts compute on a device until Ctrl-C.
    ///
    /// # Errors
    /// [`DeviceError::Serve`].
    pub fn serve(selected: &SelectedDevice, listener: TcpListener) -> Result<(), DeviceError> {
        let server = RemoteServer::new([selected.device.clone()]);
        let served = server.serve(WebSocketTransport::from_listener(listener));
        served.map_err(|error| DeviceError::Serve(selected.id.clone(), error.to_string()))
    }
}

#[cfg(feature = "remote")]
pub use built_in::serve;

#[cfg(all(test, feature = "remote"))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn refusal(port: u16) -> String {
        let asked = format!("remote:ws://127.0.0.1:{port}");
        let start = Instant::now();
        let error = asked.parse::<RemoteAddress>().unwrap().connect().unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20));
        error.to_string()
    }

    #[test]
    fn a_server_that_is_not_there_is_named_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let message = refusal(port);
        assert!(message.contains("refused"), "{message}");
        assert!(message.contains(&format!("serve-device --listen 127.0.0.1:{port}")), "{message}");
    }

    #[test]
    fn something_else_that_listens_is_no_device() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                use std::io::Write;
                let _ = (&stream).write_all(b"220 mail.example ESMTP\r\n");
            }
        });
        assert!(refusal(port).contains("cannot be reached"));
    }
}
