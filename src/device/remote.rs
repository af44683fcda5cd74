//! Devices of other hosts, by Burn's remote devices over WebSocket.
//!
//! The other host runs `mllmseg serve-device`; every operation travels there as a message, and its
//! tensors stay there. The protocol has neither passwords nor encryption.

use std::net::TcpListener;

use super::choice::SelectedDevice;
use super::error::DeviceError;

/// The address `HOST:PORT` in `remote:ws://HOST:PORT`.
pub(super) fn address(text: &str) -> Result<String, DeviceError> {
    let address = text.strip_prefix("remote:ws://").map(|rest| rest.trim_end_matches('/'));
    let is_address = |address: &&str| {
        address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok()
        })
    };
    let address = address.filter(is_address).map(str::to_string);
    address.ok_or_else(|| DeviceError::RemoteAddress(text.to_string()))
}

/// Never: remote devices are not built in.
#[cfg(not(feature = "remote"))]
pub(super) fn connect(_: &str) -> Result<SelectedDevice, DeviceError> {
    Err(DeviceError::RemoteNotBuilt)
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

    /// Connects to `HOST:PORT`, which takes some seconds at most.
    pub fn connect(address: &str) -> Result<SelectedDevice, DeviceError> {
        let unreachable = |reason| DeviceError::Unreachable(address.to_string(), reason);
        probe(address).map_err(unreachable)?;
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
        let (id, device) = (format!("remote:ws://{address}"), device.map_err(unreachable)?);
        Ok(SelectedDevice { device, name: id.clone(), id, is_hardware_gpu: false })
    }

    /// Whether anything listens there; Burn alone would try for a quarter of a minute.
    fn probe(address: &str) -> Result<(), String> {
        let mut reason = "its name has no address".to_string();
        for address in address.to_socket_addrs().map_err(|error| error.to_string())? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(_) => return Ok(()),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }

    /// Lets other hosts compute on a device until Ctrl-C.
    pub fn serve(selected: &SelectedDevice, listener: TcpListener) -> Result<(), DeviceError> {
        let server = RemoteServer::new([selected.device.clone()]);
        let served = server.serve(WebSocketTransport::from_listener(listener));
        served.map_err(|error| DeviceError::Serve(selected.id.clone(), error.to_string()))
    }
}

#[cfg(feature = "remote")]
pub(super) use built_in::connect;
#[cfg(feature = "remote")]
pub use built_in::serve;

#[cfg(all(test, feature = "remote"))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn refusal(port: u16) -> String {
        let start = Instant::now();
        let error = connect(&format!("127.0.0.1:{port}")).unwrap_err();
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
