//! Structure for inputs that random bytes would never have: each byte chooses a fragment of text.

/// The text that `bytes` choose. If the first byte is even, the rest is taken as it is.
pub fn text(bytes: &[u8], fragments: &[&str]) -> Vec<u8> {
    match bytes.split_first() {
        Some((first, rest)) if first % 2 == 1 => {
            let choose = |&byte: &u8| match fragments.get(usize::from(byte)) {
                Some(fragment) => fragment,
                None => COMMON[usize::from(byte) % COMMON.len()],
            };
            rest.iter().map(choose).collect::<String>().into_bytes()
        }
        Some((_, rest)) => rest.to_vec(),
        None => Vec::new(),
    }
}

/// What every JSON file is made of, and what Python writes beyond JSON.
const COMMON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "0",
    "1",
    "2",
    "-1",
    "7.0",
    "1e3",
    "1e999",
    "-0.0",
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "-Infinity",
    "9007199254740993",
    "18446744073709551616",
    "\"a\"",
    "\"1\"",
    "\"007\"",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\n",
    "é",
    "{}",
    "[]",
];

pub const REFS: &[&str] = &[
    "[{\"ref_id\":1,\"image_id\":1,\"ann_id\":1,\"split\":\"val\",\"sentences\":[{\"sent_id\":1,\"raw\":\"a\",\"sent\":\"a\"}]}",
    ",{",
    "}]",
    "\"ref_id\":",
    "\"image_id\":",
    "\"ann_id\":",
    "\"split\":\"val\",",
    "\"no_target\":",
    "\"file_name\":\"a.png\",",
    "\"sentences\":[{",
    "\"sent_id\":",
    "\"raw\":",
    "\"sent\":",
    "\"tokens\":[",
];

pub const INSTANCES: &[&str] = &[
    "{\"images\":[{\"id\":1,\"file_name\":\"a.png\",\"width\":8,\"height\":8}],\"annotations\":[",
    "{\"id\":1,\"image_id\":1,\"category_id\":1,\"bbox\":[1,1,3,3],\"iscrowd\":0,\"area\":9,\"segmentation\":",
    "[[1,1,4,1,4,4]]",
    "{\"size\":[8,8],\"counts\":[10,5,49]}",
    "{\"size\":[8,8],\"counts\":\"0@\"}",
    "},",
    "}]}",
    "\"categories\":[{\"id\":1,\"name\":\"star\"}],",
    "\"images\":[",
    "\"annotations\":[",
    "\"id\":",
    "\"image_id\":",
    "\"file_name\":",
    "\"width\":",
    "\"height\":",
    "\"bbox\":",
    "\"iscrowd\":",
    "\"area\":",
    "\"segmentation\":",
    "\"category_id\":",
    "\"../a.png\"",
    "\"./a.png\"",
    "\"a\\\\b.png\"",
];

pub const OWN: &[&str] = &[
    "{\"image\":\"a.png\",\"expression\":\"the star\",",
    "\"mask\":\"a.png\"}\n",
    "\"segmentation\":",
    "[[1,1,4,1,4,4]]",
    "{\"size\":[8,8],\"counts\":[10,5,49]}",
    "}\n",
    "\"image\":",
    "\"expression\":",
    "\"expressions\":[",
    "\"mask\":",
    "\"value\":",
    "\"no_target\":",
    "null}\n",
    "\"../a.png\"",
    "\"./a.png\"",
];

pub const SEGMENTATION: &[&str] = &[
    "[[",
    "]]",
    "],[",
    "1,1,4,1,4,4",
    "24.5,",
    "-3,",
    "{\"size\":[24,24],\"counts\":",
    "[100,76,400]",
    "[0,576]",
    "\"0@\"",
    "}",
    "\"size\":",
    "\"counts\":",
    "[24,24]",
    "4294967295",
    ",",
];

pub const TOKENIZER: &[&str] = &[
    "{\"version\":\"1.0\",\"added_tokens\":[",
    "{\"id\":9,\"content\":\"<s>\",\"special\":true}",
    "],",
    "\"model\":{\"type\":\"BPE\",\"vocab\":{",
    "\"merges\":[",
    "\"a b\"",
    "[\"a\",\"b\"]",
    "}}",
    "\"a\":0,",
    "\"b\":1,",
    "\"ab\":2",
    "\"unk_token\":",
    "\"byte_fallback\":",
    "\"pre_tokenizer\":",
    "\"decoder\":",
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}",
    "\"normalizer\":",
    "{\"type\":\"NFC\"}",
    "{\"type\":\"Sequence\",\"pretokenizers\":[",
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false}",
    "]}",
    "\"ignore_merges\":",
    "\"dropout\":",
    "\"continuing_subword_prefix\":",
    "\"end_of_word_suffix\":",
];

/// An 8 x 8 grey image with a square in it.
pub const PNG: &[u8] = include_bytes!("a.png");
