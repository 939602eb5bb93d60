#!/usr/bin/env bash
# Starts the driver of the conformance suite; `make driver` copies this to build/driver.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# Java decodes the names of files by the locale.
export LC_ALL=C.UTF-8
exec java -cp "$here/build/lib/*:$here/conformance/build/classes" holdfast.conformance.Driver
