//! `mllmseg serve-device`: lets other hosts train on a device of this host.

use std::net::TcpListener;

use clap::Args;
use mllmseg::device::{DeviceChoice, serve};

use super::CliError;
use super::terminal::{print_result, warn};

/// Lend a device to a training run on another host
///
/// Serves until Ctrl-C. There, name it in `--devices remote:ws://HOST:PORT`.
#[derive(Debug, Args)]
#[command(after_help = "Example: mllmseg serve-device --listen 10.0.0.2:3000 --device cuda:0")]
pub struct ServeDeviceArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    listen: String,
    /// auto, cpu, cuda[:N], wgpu[:N], vulkan[:N], metal[:N] or rocm[:N]
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

/// Serves.
pub fn run(arguments: ServeDeviceArgs) -> Result<(), CliError> {
    if !cfg!(feature = "remote") {
        return Err(mllmseg::device::DeviceError::RemoteNotBuilt.into());
    }
    let selected = arguments.device.select()?;
    let cannot_listen = |error| format!("cannot listen on {}: {error}", arguments.listen);
    let listener = TcpListener::bind(&arguments.listen).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    print_result(format!("serving {} ({}) at ws://{address}", selected.id, selected.name))?;
    if !address.ip().is_loopback() {
        warn(format!(
            "warning: whoever can reach {address} can compute here and read what others have sent: \
             the protocol has neither passwords nor encryption. Keep it inside a network that you \
             trust, or listen on 127.0.0.1 and forward the port by SSH"
        ));
    }
    Ok(serve(&selected, listener)?)
}
