//! The switch to the browser's GPU and back, and a GPU that is lost or refused.

use super::Site;
use super::page::{EXPRESSIONS, compare, expect_answers};
use crate::support::root;

/// What a worker's script begins with, so that the test can take its GPU away, or its memory.
const LOSE: &str = "
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...settings) {
  const device = await request.apply(this, settings);
  const full = () => new GPUUncapturedErrorEvent('uncapturederror', { error: new GPUOutOfMemoryError('') });
  new BroadcastChannel('test').onmessage = ({ data }) => data === 'lose' ? device.destroy() : device.dispatchEvent(full());
  return device;
};
";
const REFUSE: &str = "
GPUAdapter.prototype.requestDevice = () => Promise.reject(new Error('none left'));
";

/// A page with a GPU behind it; none where the browser gives none.
fn open(worker: &'static str) -> Option<Site> {
    let mut site = Site::open_with_gpu(worker)?;
    site.page.wait_for("document.getElementById('model')?.innerText.includes('tiny') === true");
    let name = site.backend("gpu");
    if name.is_null() {
        eprintln!("skipped: Chromium gives no WebGPU adapter");
        return None;
    }
    eprintln!("WebGPU on {name}");
    site.page.wait_for("document.getElementById('devices').hidden === false");
    Some(site)
}

/// Turns the switch.
fn compute_on(site: &mut Site, device: &str) {
    site.page.evaluate(&format!(
        "(() => {{ const s = document.getElementById('device'); s.value = {device:?}; s.dispatchEvent(new Event('change')); }})()"
    ));
}

fn wait_for_device(site: &mut Site, device: &str) {
    let said = "document.getElementById('model').innerText";
    site.page.wait_for(&format!(
        "{said}.includes('on {device}') && document.getElementById('device').disabled === false"
    ));
    let says = site.page.evaluate(said);
    eprintln!("{says}");
}

#[test]
#[ignore = "needs `cargo xtask web`; `cargo xtask ci` runs both"]
fn the_gpu_of_the_browser_computes_as_this_machine_does() {
    let Some(mut site) = open("") else { return };
    site.take_example();
    site.ask("the red star", 1);
    compute_on(&mut site, "WebGPU");
    wait_for_device(&mut site, "WebGPU");
    // The picture is read again, by the model that is there now.
    expect_answers(&mut site);
    compare(&mut site, &root().join(xtask::web::DIST).join("model"));
    site.page.evaluate("document.getElementById('maps').click()");
    site.page.wait_for("document.querySelectorAll('#layers li').length === 3");
    site.page.evaluate("document.querySelector('#layers button').click()");
    site.screenshots("gpu");
    compute_on(&mut site, "CPU");
    wait_for_device(&mut site, "the CPU");
    site.ask(EXPRESSIONS[0], 1);
    // The program for the GPU is kept as well.
    site.reload_offline();
    compute_on(&mut site, "WebGPU");
    wait_for_device(&mut site, "WebGPU");
    site.assert_quiet();
}

#[test]
#[ignore = "needs `cargo xtask web`; `cargo xtask ci` runs both"]
fn without_its_gpu_the_page_goes_on_with_the_cpu() {
    let Some(mut site) = open(LOSE) else { return };
    site.take_example();
    for (event, reason) in [("lose", "the device was lost"), ("fill", "Out of Memory")] {
        compute_on(&mut site, "WebGPU");
        wait_for_device(&mut site, "WebGPU");
        site.wait_for_turn();
        site.page.evaluate(&format!("new BroadcastChannel('test').postMessage({event:?})"));
        site.ask("the green ring", 1);
        says(&mut site, &["WebGPU has stopped (", reason, "); the CPU goes on"]);
        wait_for_device(&mut site, "the CPU");
        assert_eq!(site.page.evaluate("document.getElementById('device').value"), "CPU");
    }

    let Some(mut site) = open(REFUSE) else { return };
    site.take_example();
    compute_on(&mut site, "WebGPU");
    says(&mut site, &["WebGPU cannot be used: ", "device: Error: none left. The CPU goes on."]);
    wait_for_device(&mut site, "the CPU");
    site.page.evaluate("document.getElementById('words').focus()");
    site.ask("the red star", 1);
}

/// Waits for a message of the page that has all of these.
fn says(site: &mut Site, parts: &[&str]) {
    let error = "document.getElementById('error').innerText";
    for part in parts {
        site.page.wait_for(&format!("{error}.includes({part:?})"));
    }
    let error = site.page.evaluate(error);
    eprintln!("{error}");
}
