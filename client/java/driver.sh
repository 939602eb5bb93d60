#!/usr/bin/env bash
# Starts the driver of the conformance suite; `make driver` copies this to build/driver.
set -euo pipefail
built="$(cd "$(dirname "${BASH_SOURCE[0]}")/../conformance/build" && pwd)"
# Java decodes the names of files by the locale.
export LC_ALL=C.UTF-8
exec java -cp "$built/lib/*:$built/holdfast-conformance-0.1.0-SNAPSHOT.jar" holdfast.conformance.Driver
