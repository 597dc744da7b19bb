#!/usr/bin/env bash
# The same as `asrkit train recipes/wsj`, for hands used to Kaldi and ESPnet:
#   ./run.sh --stage 3 --stop-stage 6 [--skip-stages "4"] [--ngpu 0] [key=value ...]
set -euo pipefail
cd "$(dirname "$0")/../.."
exec "${PYTHON:-python3}" -m asrkit train recipes/wsj "$@"
