//! The routes of label tools, as their public descriptions have them.

use base64::prelude::{BASE64_STANDARD, Engine};
use mllmseg::data::mask::polygon::rasterize;
use serde_json::{Value, json};

use super::{Server, expected, scene_file};
use crate::support::assert_says;

fn data_uri() -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(scene_file()))
}

/// What the stock application sends, and what it reads of the answers.
#[test]
fn x_any_labeling_lists_the_model_and_gets_polygons() {
    let server = Server::start(&[]);
    let client = &server.client;
    let health = client.get("/health").ok();
    assert_eq!((&health["status"], &health["models_loaded"]), (&json!("healthy"), &json!(1)));
    assert!(health["timestamp"].as_str().unwrap().ends_with('Z'));
    let models = client.get("/v1/models").ok();
    assert_eq!(models["success"], true);
    let (id, model) = models["data"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(model["batch_processing_mode"], "text_prompt");
    let widgets: Vec<_> =
        model["widgets"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert!(widgets.contains(&"edit_text") && widgets.contains(&"button_send"));
    let info = client.get(&format!("/v1/models/{id}/info")).ok();
    assert_eq!((&info["success"], &info["data"]["model_id"]), (&json!(true), &json!(id)));

    let params = json!({ "conf_threshold": 0.0, "iou_threshold": 0.0, "epsilon_factor": 0.0,
        "text_prompt": "the red star, all the yellow triangles, the blue circle, the red star" });
    let asked = json!({ "model": id, "image": data_uri(), "params": params });
    let answer = client.post_json("/v1/predict", &asked).ok();
    assert_eq!(answer["success"], true);
    assert_says(&answer["data"]["description"], &["the blue circle", "not in the picture"]);
    let expected = expected(&["the red star", "all the yellow triangles"]);
    for (index, expected) in expected.iter().enumerate() {
        let shapes = answer["data"]["shapes"].as_array().unwrap().iter();
        let shapes: Vec<_> =
            shapes.filter(|shape| shape["label"] == *expected.expression).collect();
        let groups: Vec<_> = shapes.iter().map(|shape| &shape["group_id"]).collect();
        assert!(groups.iter().all(|group| **group == json!(index + 1)), "{groups:?}");
        let polygons: Vec<Vec<f64>> = shapes
            .iter()
            .map(|shape| {
                assert_eq!(shape["shape_type"], "polygon");
                let points: Vec<[f64; 2]> =
                    serde_json::from_value(shape["points"].clone()).unwrap();
                assert_eq!(points.first(), points.last(), "closed by its first point");
                points.concat()
            })
            .collect();
        assert_eq!(rasterize(168, 168, &polygons).unwrap(), expected.mask);
    }

    let fails = |asked: Value, code: &str| {
        let answer = client.post_json("/v1/predict", &asked).ok();
        assert_eq!((&answer["success"], &answer["error"]["code"]), (&json!(false), &json!(code)));
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    };
    let params = json!({ "text_prompt": "the red star" });
    fails(json!({ "model": "yolo", "image": data_uri(), "params": params }), "MODEL_NOT_FOUND");
    fails(json!({ "model": id, "image": "aGVsbG8=", "params": params }), "INVALID_IMAGE");
    fails(json!({ "model": id, "image": data_uri(), "params": {} }), "INFERENCE_ERROR");
    assert_eq!(client.get("/v1/models/yolo/info").ok()["error"]["code"], "MODEL_NOT_FOUND");
}

#[test]
fn label_studio_gets_brushes_and_polygons_for_typed_words() {
    let server = Server::start(&[]);
    let client = &server.client;
    let version =
        client.post_json("/setup", &json!({ "project": "1.2", "schema": "<View/>" })).ok();
    assert_says(&version["model_version"], &["mllmseg"]);
    assert_eq!(
        client.post_json("/webhook", &json!({ "action": "START_TRAINING" })).ok(),
        json!({})
    );
    let ask = |control: &str, words: Value| {
        let config = format!(
            "<View><Image name=\"img\" value=\"$picture\"/><TextArea name=\"words\" toName=\"img\"/>\
             <{control} name=\"tag\" toName=\"img\"><Label value=\"Star\"/></{control}></View>"
        );
        let context = json!({ "result": [{ "from_name": "words", "value": { "text": words } }] });
        let tasks = json!([{ "id": 7, "data": { "picture": data_uri() } }]);
        let asked = json!({ "tasks": tasks, "label_config": config, "project": "1.2",
            "params": { "login": null, "context": context } });
        let answer = client.post_json("/predict", &asked).ok();
        assert_eq!(answer["results"].as_array().unwrap().len(), 1);
        answer["results"][0].clone()
    };
    let expected = &expected(&["the red star"])[0];
    let brush = ask("BrushLabels", json!(["the red star"]));
    let region = &brush["result"][0];
    for (key, value) in [
        ("type", json!("brushlabels")),
        ("from_name", json!("tag")),
        ("to_name", json!("img")),
        ("original_width", json!(168)),
        ("original_height", json!(168)),
    ] {
        assert_eq!(region[key], value, "{key}");
    }
    assert_eq!(region["value"]["format"], "rle");
    assert_eq!(region["value"]["brushlabels"], json!(["Star"]));
    let bytes: Vec<u8> = serde_json::from_value(region["value"]["rle"].clone()).unwrap();
    assert_eq!(bytes[..4], (168 * 168 * 4_u32).to_be_bytes(), "four bytes a pixel");

    let polygon = ask("PolygonLabels", json!(["the red star"]));
    let value = &polygon["result"][0]["value"];
    assert_eq!((&value["closed"], &value["polygonlabels"]), (&json!(true), &json!(["Star"])));
    let points: Vec<[f64; 2]> = serde_json::from_value(value["points"].clone()).unwrap();
    let points: Vec<f64> = points.concat().iter().map(|percent| percent * 1.68).collect();
    let found = rasterize(168, 168, &[points]).unwrap();
    assert!(found.overlap(&expected.mask).unwrap().iou() > 0.9);

    assert_eq!(ask("BrushLabels", json!([]))["result"], json!([]), "no words, no regions");
    assert_eq!(ask("BrushLabels", json!(["the blue circle"]))["result"], json!([]));
}
