// Beside the page with the model inside (`cargo xtask web`), the chapters' examples run it.
import(new URL("../page/live.js", document.baseURI));
