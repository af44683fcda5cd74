//! Several devices at once: `cpu,cpu`, `cuda:0,cuda:1`, `remote:ws://host:3000,remote:ws://other:3000`.

use std::str::FromStr;

use super::choice::{DeviceChoice, SelectedDevice};
use super::error::DeviceError;
use super::remote;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Local(DeviceChoice),
    /// `HOST:PORT`.
    Remote(String),
}

/// Devices as the user lists them, separated by commas. One may be named more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList(Vec<Entry>);

impl DeviceList {
    /// The devices, all of which are there; connects to those of other hosts, which takes some
    /// seconds at most.
    ///
    /// # Errors
    /// That of the first device that is not there.
    pub fn select(&self) -> Result<Vec<SelectedDevice>, DeviceError> {
        let select = |entry: &Entry| match entry {
            Entry::Local(choice) => choice.select(),
            Entry::Remote(address) => remote::connect(address),
        };
        self.0.iter().map(select).collect()
    }
}

impl From<DeviceChoice> for DeviceList {
    fn from(choice: DeviceChoice) -> Self {
        Self(vec![Entry::Local(choice)])
    }
}

impl FromStr for DeviceList {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let entry = |text: &str| match text.starts_with("remote:") || text.contains("://") {
            true => remote::address(text).map(Entry::Remote),
            false => text.parse().map(Entry::Local),
        };
        text.split(',').map(str::trim).map(entry).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::GpuKind;

    #[test]
    fn entries_are_local_or_remote() {
        let list: DeviceList = "cpu, cuda:1,remote:ws://a.example:3000".parse().unwrap();
        let local = [DeviceChoice::Cpu, DeviceChoice::Gpu(GpuKind::Cuda, 1)].map(Entry::Local);
        assert_eq!(list.0, [&local[..], &[Entry::Remote("a.example:3000".into())]].concat());
    }

    #[test]
    fn unknown_devices_are_named() {
        let message = |text: &str| text.parse::<DeviceList>().unwrap_err().to_string();
        for text in ["gpu", "cuda:x", "cpu:1", "cuda:-1", ""] {
            let message = message(&format!("cpu,{text}"));
            assert!(message.contains(&format!("unknown device {text:?}")), "{message}");
            assert!(message.contains("cuda[:N]"), "{message}");
        }
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
