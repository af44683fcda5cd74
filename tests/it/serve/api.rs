//! Our own API: answers, events, the cache, the token; and that `openapi.json` names the routes.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine};
use mllmseg::data::mask::{Bitmap, Segmentation};
use serde_json::{Value, json};

use super::super::support::{assert_says, failure, mllmseg, root};
use super::client::form;
use super::{Server, expected, scene_file};

const EXPRESSIONS: [&str; 3] = ["the red star", "all the yellow triangles", "the blue circle"];

#[test]
fn an_image_is_encoded_once_and_asked_in_every_format() {
    let server = Server::start(&[]);
    let client = &server.client;
    let id = client.add(&scene_file());
    let path = format!("/v1/images/{id}/segment");
    let expected = expected(&EXPRESSIONS);
    let ask = |format: &str| {
        let json = json!({ "expressions": EXPRESSIONS, "format": format });
        let answer = client.post_json(&path, &json).ok();
        assert_eq!((&answer["width"], &answer["height"]), (&json!(168), &json!(168)));
        assert_eq!(answer["cached"], true);
        answer
    };
    let answer = ask("rle");
    for (result, expected) in answer["results"].as_array().unwrap().iter().zip(&expected) {
        assert_eq!(result["expression"], expected.expression);
        assert_eq!(result["rejected"], expected.rejected);
        assert_eq!(result["segmentation"], json!(expected.rle()));
        assert_eq!(result["box"], json!(expected.bounding_box));
        assert_eq!(result["area"], expected.mask.area());
    }
    assert!(expected[2].rejected);

    // Every other format draws the same mask.
    let polygons = ask("polygon");
    let png = ask("png");
    let coco = ask("coco");
    for (index, expected) in expected.iter().enumerate().take(2) {
        let parts = polygons["results"][index]["polygons"].as_array().unwrap();
        let rings = parts.iter().flat_map(|part| {
            let holes = part["holes"].as_array().unwrap();
            std::iter::once(&part["outer"]).chain(holes)
        });
        let mut odd = vec![false; expected.mask.pixels().len()];
        for ring in rings {
            let points: Vec<[f64; 2]> = serde_json::from_value(ring.clone()).unwrap();
            let one = drawn(&json!([points.concat()]));
            odd.iter_mut().zip(one.pixels()).for_each(|(odd, one)| *odd ^= one);
        }
        assert_eq!(odd, expected.mask.pixels());
        let annotation = &coco["coco"]["annotations"][index];
        assert_eq!(drawn(&annotation["segmentation"]), expected.mask);
        assert_eq!(annotation["caption"], expected.expression);
        let file = BASE64_STANDARD.decode(png["results"][index]["png"].as_str().unwrap()).unwrap();
        let grey = image::load_from_memory(&file).unwrap().into_luma8();
        assert_eq!(grey.into_raw(), expected.mask.to_bytes(255));
    }
    let names = coco["coco"]["categories"].as_array().unwrap();
    assert_eq!(names.len(), 3, "what was rejected is a category without an annotation");
    assert_eq!(coco["coco"]["annotations"].as_array().unwrap().len(), 2);
    assert_says(&ask("svg")["results"][0]["svg"], &["viewBox=\\\"0 0 168 168\\\"", "the red star"]);

    let maps = client.get(&format!("/v1/images/{id}/maps")).ok();
    let names: Vec<_> = maps["maps"].as_array().unwrap().iter().map(|map| &map["name"]).collect();
    assert_eq!(names, ["T_img1", "T_img2", "T_vl"]);

    let removed = client.send("DELETE", &format!("/v1/images/{id}"), &[], b"");
    assert_eq!(removed.status, 204);
    let gone = client.post_json(&path, &json!({ "expressions": ["the red star"] }));
    assert_eq!(gone.status, 404);
    assert_says(gone.json(), &["IMAGE_NOT_FOUND", "send it again to /v1/images"]);
    assert_eq!(client.send("DELETE", &format!("/v1/images/{id}"), &[], b"").status, 404);
}

fn drawn(polygons: &Value) -> Bitmap {
    let polygons: Segmentation = serde_json::from_value(polygons.clone()).unwrap();
    polygons.to_bitmap(168, 168).unwrap()
}

#[test]
fn one_call_does_both_and_tells_its_stages() {
    let server = Server::start(&[]);
    let client = &server.client;
    let expected = json!(expected(&["the red star"])[0].rle());
    let (kind, body) = form(&scene_file(), &[("expression", "the red star"), ("format", "rle")]);
    let answer = client.send("POST", "/v1/segment", &[&kind], &body).ok();
    assert_eq!(answer["results"][0]["segmentation"], expected);
    assert_eq!(answer["cached"], false);
    let image = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(scene_file()));
    let asked = json!({ "image": image, "expressions": ["the red star"] });
    let again = client.post_json("/v1/segment", &asked).ok();
    assert_eq!((&again["cached"], &again["image_id"]), (&json!(true), &answer["image_id"]));
    assert_eq!(again["results"][0]["segmentation"], expected);

    // Events of an image that is not known yet.
    let mut other = scene_file();
    other.push(0); // behind the end of the PNG
    let (kind, body) = form(&other, &[("expression", "the red star")]);
    let reply = client.send("POST", "/v1/segment", &[&kind, "Accept: text/event-stream"], &body);
    assert_says(reply.head, &["text/event-stream"]);
    let text = String::from_utf8(reply.body).unwrap();
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names, ["stage", "stage", "stage", "stage", "result"]);
    assert_says(
        &text,
        &["reading the image", "vision encoder", "language model", "segmenting the red star"],
    );
    let result = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let result: Value = serde_json::from_str(result).unwrap();
    assert_eq!(result["results"][0]["segmentation"], expected);
    let failed = client.send(
        "POST",
        "/v1/images/none/segment",
        &["Content-Type: application/json", "Accept: text/event-stream"],
        br#"{"expressions":["x"]}"#,
    );
    assert_says(String::from_utf8(failed.body).unwrap(), &["event: error", "IMAGE_NOT_FOUND"]);
}

/// A higher threshold gives a smaller mask, and does not change that of others.
#[test]
fn the_threshold_is_the_requests_own() {
    let server = Server::start(&[]);
    let id = server.client.add(&scene_file());
    let area = |threshold: f64| {
        let json = json!({ "expressions": ["the red star"], "threshold": threshold });
        let answer = server.client.post_json(&format!("/v1/images/{id}/segment"), &json).ok();
        answer["results"][0]["area"].as_u64().unwrap()
    };
    let half = area(0.5);
    assert!(area(0.95) < half && half < area(0.05));
    assert_eq!(area(0.5), expected(&["the red star"])[0].mask.area());
}

/// `serve --threshold` is that of requests that name none.
#[test]
fn the_servers_threshold_is_the_default() {
    let server = Server::start(&["--threshold", "0.95"]);
    let id = server.client.add(&scene_file());
    let area = |question: Value| {
        let answer = server.client.post_json(&format!("/v1/images/{id}/segment"), &question).ok();
        answer["results"][0]["area"].as_u64().unwrap()
    };
    let named = area(json!({ "expressions": ["the red star"], "threshold": 0.95 }));
    assert_eq!(area(json!({ "expressions": ["the red star"] })), named);
    assert!(named < expected(&["the red star"])[0].mask.area());
}

#[test]
fn images_are_kept_up_to_so_many_bytes() {
    let server = Server::start(&["--cache-mb", "1"]); // one image of the tiny model takes 0.6 MB
    let client = &server.client;
    let first = client.add(&scene_file());
    let mut other = scene_file();
    other.push(0);
    let second = client.add(&other);
    assert_ne!(first, second);
    let ask = |id: &str| {
        let json = json!({ "expressions": ["the red star"] });
        client.post_json(&format!("/v1/images/{id}/segment"), &json).status
    };
    assert_eq!((ask(&first), ask(&second)), (404, 200));
    let metrics = String::from_utf8(client.get("/metrics").body).unwrap();
    assert_says(
        &metrics,
        &[
            "mllmseg_cache_events_total{event=\"evicted\"} 1",
            "mllmseg_cache_images 1",
            "mllmseg_requests_total{route=\"/v1/images\",status=\"200\"} 2",
            "mllmseg_stage_seconds_count{stage=\"encode\"} 2",
        ],
    );
}

#[test]
fn a_token_is_asked_of_every_request() {
    let server = Server::start(&["--token", "secret-7"]);
    let client = &server.client;
    assert_eq!(client.get("/health").ok()["status"], "healthy");
    let refused = client.get("/v1/info");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["error"]["code"], "UNAUTHORIZED");
    for path in ["/", "/metrics", "/page/page.js", "/openapi.json", "/?token=wrong"] {
        assert_eq!(client.get(path).status, 401, "{path}");
    }
    let basic = format!("Authorization: Basic {}", BASE64_STANDARD.encode("user:secret-7"));
    for header in [
        "Authorization: Bearer secret-7",
        "Token: secret-7",
        "Cookie: a=b; mllmseg_token=secret-7",
        &basic,
    ] {
        assert_eq!(client.send("GET", "/v1/info", &[header], b"").status, 200, "{header}");
    }
    assert_eq!(client.send("GET", "/v1/info", &["Token: secret"], b"").status, 401);
    let opened = client.get("/?token=secret-7");
    assert_eq!(opened.status, 303);
    assert_says(opened.head, &["mllmseg_token=secret-7", "HttpOnly", "SameSite=Strict"]);
}

#[test]
fn the_address_and_the_options_are_checked() {
    let fails = |arguments: &[&str], says: &[&str]| {
        let mut command = mllmseg(["serve"]);
        assert_says(failure(command.args(arguments).env_remove("MLLMSEG_TOKEN")), says);
    };
    fails(&["--bind", "0.0.0.0:0"], &["0.0.0.0:0", "--token", "--insecure"]);
    fails(&["--token", "two words"], &["token", "without spaces"]);
    fails(&["--allow-origin", "labels.example"], &["labels.example", "https://"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails(&["--bind", &address], &[&address, "--bind"]);
}

#[test]
fn ctrl_c_ends_the_server() {
    let mut server = Server::start(&[]);
    server.client.add(&scene_file());
    let pid = server.child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn openapi_names_the_routes() {
    let description = include_str!("../../../src/serve/openapi.json");
    let description: Value = serde_json::from_str(description).unwrap();
    let named: BTreeSet<(String, String)> = (description["paths"].as_object().unwrap().iter())
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
        })
        .collect();
    let code = std::fs::read_to_string(root().join("src/serve/routes.rs")).unwrap();
    let routes = code.lines().filter_map(|line| line.trim().strip_prefix(".route(\""));
    let routes: BTreeSet<(String, String)> = routes
        .map(|route| {
            let (path, rest) = route.split_once("\", ").unwrap();
            (path.to_string(), rest.split('(').next().unwrap().to_string())
        })
        .collect();
    assert_eq!(named, routes);
    // And the server knows each of them.
    let server = Server::start(&[]);
    assert_eq!(server.client.get("/openapi.json").ok(), description);
    for (path, method) in named {
        let path = path.replace("{file}", "page.css").replace("{id}", "mllmseg");
        let reply = server.client.send(&method.to_uppercase(), &path, &[], b"");
        assert!(reply.status != 405, "{method} {path}");
        let says = String::from_utf8_lossy(&reply.body);
        assert!(!says.contains("no such route"), "{method} {path}: {says}");
    }
}
