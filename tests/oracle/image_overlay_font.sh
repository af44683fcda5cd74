#!/bin/sh
# Makes assets/fonts/DejaVuSans-subset.ttf. Needs fonttools and DejaVuSans.ttf 2.37 (Debian: fonts-dejavu-core).
set -eu
font=${1:-/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf}
latin="U+0020-007E,U+00A0-017F,U+0192,U+0218-021B,U+0259,U+02BB-02BC,U+02C6-02DD,U+0300-0304,U+0306-030C,U+0323,U+1E00-1EFF"
greek_and_cyrillic="U+0370-03FF,U+0400-045F,U+0490-0491"
signs="U+2010-2027,U+2030-203A,U+20AC,U+2116,U+2122,U+2190-2195,U+2212,U+221E,U+2248,U+2260,U+2264-2265"
shapes="U+25A0-25CF,U+2713-2717,U+FFFD"
pyftsubset "$font" --unicodes="$latin,$greek_and_cyrillic,$signs,$shapes" --notdef-outline --no-hinting \
    --layout-features=kern --output-file="$(dirname "$0")/../../assets/fonts/DejaVuSans-subset.ttf"
