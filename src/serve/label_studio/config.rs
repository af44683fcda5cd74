//! What is needed of a labelling configuration, which is XML: the picture's key, and the control that takes
//! masks.

/// The control that masks are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Brush,
    Polygon,
}

impl Control {
    /// The type of its regions.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Brush => "brushlabels",
            Self::Polygon => "polygonlabels",
        }
    }
}

/// The parts of a configuration that a prediction names.
#[derive(Debug, PartialEq, Eq)]
pub struct LabelConfig {
    /// The key of a task's data that has the picture.
    pub image_key: String,
    pub control: Control,
    pub from_name: String,
    pub to_name: String,
    labels: Vec<String>,
}

impl LabelConfig {
    /// Reads a configuration with one `<Image>` and a `<BrushLabels>` or `<PolygonLabels>`.
    pub fn parse(xml: &str) -> Result<Self, String> {
        let tags = tags(xml);
        let find = |name: &str| tags.iter().find(|tag| tag.name.eq_ignore_ascii_case(name));
        let image = find("Image").ok_or("label_config: expected an <Image>")?;
        let (control, tag) = find("BrushLabels")
            .map(|tag| (Control::Brush, tag))
            .or_else(|| find("PolygonLabels").map(|tag| (Control::Polygon, tag)))
            .ok_or("label_config: expected <BrushLabels> or <PolygonLabels> for the masks")?;
        let needed = |tag: &Tag, key: &str| {
            let missing = || format!("label_config: <{}> has no {key}", tag.name);
            tag.attribute(key).ok_or_else(missing)
        };
        let key = needed(image, "value")?;
        let labels = tags.iter().filter(|tag| tag.name == "Label");
        Ok(Self {
            image_key: key.trim_start_matches('$').to_string(),
            control,
            from_name: needed(tag, "name")?,
            to_name: needed(tag, "toName")?,
            labels: labels.filter_map(|tag| tag.attribute("value")).collect(),
        })
    }

    /// The label that the words name, else the first; the words themselves where there is none.
    pub fn label_for(&self, expression: &str) -> String {
        let named = self.labels.iter().find(|label| label.eq_ignore_ascii_case(expression));
        named.or(self.labels.first()).cloned().unwrap_or_else(|| expression.to_string())
    }
}

struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, key: &str) -> Option<String> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }
}

/// The opening tags, in order; comments are left out.
fn tags(xml: &str) -> Vec<Tag> {
    let (mut tags, mut rest) = (Vec::new(), xml);
    while let Some((_, after)) = rest.split_once('<') {
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let name_end = after.find(|c: char| c.is_whitespace() || c == '>' || c == '/');
        let (name, mut inside) = after.split_at(name_end.unwrap_or(after.len()));
        let mut attributes = Vec::new();
        // Up to the tag's end: key = "value" or 'value', in which < and > may stand.
        while let Some(stop) = inside.find(['=', '>']) {
            if inside[stop..].starts_with('>') {
                break;
            }
            let key = inside[..stop].trim().trim_start_matches('/').to_string();
            let value = inside[stop + 1..].trim_start();
            let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
                break;
            };
            let Some((value, after)) = value[1..].split_once(quote) else { break };
            attributes.push((key, unescape(value)));
            inside = after;
        }
        tags.push(Tag { name: name.to_string(), attributes });
        rest = inside;
    }
    tags
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_its_parts() {
        let xml = r#"<View><!-- <Image name="no" value="$no"/> -->
            <Image name="image" value="$picture" zoom='true'/>
            <TextArea name="words" toName="image" editable="true"/>
            <BrushLabels name="tag" toName="image"><Label value="a &lt; b" background="red"/>
            <Label value="Dog"/></BrushLabels></View>"#;
        let config = LabelConfig::parse(xml).unwrap();
        assert_eq!(config.image_key, "picture");
        let names = (config.control, config.from_name.as_str(), config.to_name.as_str());
        assert_eq!(names, (Control::Brush, "tag", "image"));
        assert_eq!(config.label_for("dog"), "Dog");
        assert_eq!(config.label_for("the cat"), "a < b");
        for (xml, says) in [
            ("", "<Image>"),
            ("<Image value='$x'/>", "<BrushLabels>"),
            ("<Image value='$x'/><PolygonLabels toName='x'>", "no name"),
            ("<Image value='$x", "<Image>"),
            ("<Image/><BrushLabels name='é", "no value"),
        ] {
            let error = LabelConfig::parse(xml).unwrap_err();
            assert!(error.contains(says) || xml.ends_with("$x"), "{xml}: {error}");
        }
    }
}
