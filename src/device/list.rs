//! Several devices at once: `cpu,cpu`, `cuda:0,cuda:1`, `remote:ws://host:3000,remote:ws://other:3000`.

use std::fmt;
use std::str::FromStr;

use super::choice::{DeviceChoice, SelectedDevice};
use super::error::DeviceError;
use super::remote::RemoteAddress;

/// One entry of a [`DeviceList`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedDevice {
    /// A device of this machine.
    Local(DeviceChoice),
    /// A device that another host serves.
    Remote(RemoteAddress),
}

/// Devices as the user lists them, separated by commas. One may be named more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList(Vec<ListedDevice>);

impl DeviceList {
    /// The entries, in their order; at least one.
    pub fn entries(&self) -> &[ListedDevice] {
        &self.0
    }

    /// The devices, all of which are there; connects to those of other hosts, which takes some
    /// seconds at most.
    ///
    /// # Errors
    /// That of the first device that is not there.
    pub fn select(&self) -> Result<Vec<SelectedDevice>, DeviceError> {
        let select = |entry: &ListedDevice| match entry {
            ListedDevice::Local(choice) => choice.select(),
            ListedDevice::Remote(address) => address.connect(),
        };
        self.0.iter().map(select).collect()
    }
}

impl From<DeviceChoice> for DeviceList {
    fn from(choice: DeviceChoice) -> Self {
        Self(vec![ListedDevice::Local(choice)])
    }
}

impl FromStr for DeviceList {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        text.split(',').map(|entry| entry.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for ListedDevice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        if text.starts_with("remote:") || text.contains("://") {
            text.parse().map(Self::Remote)
        } else {
            text.parse().map(Self::Local)
        }
    }
}

impl fmt::Display for ListedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(choice) => choice.fmt(f),
            Self::Remote(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for DeviceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::GpuKind;

    #[test]
    fn lists_are_read_back() {
        for text in ["cpu", "cpu,cpu", "cuda:0,cuda:1", "remote:ws://a.example:3000,cpu"] {
            assert_eq!(text.parse::<DeviceList>().unwrap().to_string(), text);
        }
        let spaced: DeviceList = "cpu, cuda:1".parse().unwrap();
        let second = ListedDevice::Local(DeviceChoice::Gpu(GpuKind::Cuda, 1));
        assert_eq!(spaced.entries()[1], second);
    }

    #[test]
    fn words_that_are_no_device_are_named() {
        let message = |text: &str| text.parse::<DeviceList>().unwrap_err().to_string();
        assert!(message("cpu,gpu").contains("unknown device \"gpu\""));
        assert!(message("cpu,").contains("unknown device \"\""));
        for text in ["ws://a:1", "remote:a:1", "remote:ws://a", "remote:ws://:1", "remote:ws://a:x"]
        {
            let message = message(text);
            assert!(message.contains(text) && message.contains("remote:ws://HOST:PORT"));
        }
    }

    #[test]
    fn the_same_device_may_be_listed_twice() {
        let devices = "cpu,cpu".parse::<DeviceList>().unwrap().select().unwrap();
        assert_eq!(devices.len(), 2);
        assert_eq!(devices[0].device, devices[1].device);
    }
}
