"""Every upper bound, with its reason. Sizes are bytes. Nothing from outside is read or counted without one."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# JSON. Depth: deep enough for SPDX and provenance, far from any parser's stack.
JSON_DEPTH = 64
JSON_DOCUMENT_BYTES = 128 * MIB  # cosign's own bound for one attachment

# OCI. Registries refuse manifests over 4 MiB (distribution-spec "pushing manifests").
MANIFEST_BYTES = 4 * MIB
INDEX_CHILDREN = 1000  # the largest public indexes have some dozens
MANIFEST_LAYERS = 1000  # cosign's bound for signatures in one object
HISTORY_STEPS = 10_000  # of one image config: every instruction is one, also those without a layer
INDEX_NESTING = 4  # index of indexes is rare; deeper is an attack
IMAGE_NODES = 10_000  # manifests and indexes reachable from one image
LAYOUT_INDEX_BYTES = 16 * MIB  # an index.json with tens of thousands of entries
REFERENCE_CHARACTERS = 255 + 128 + 1 + 71 + 2
REPOSITORY_NAME_CHARACTERS = 255  # Docker's bound for registry and path together
DESCRIPTOR_URLS = 64

IMAGE_DOCUMENTS_BYTES = 512 * MIB  # manifests of one image and its evidence, held in memory; real ones have some MB
LAYOUT_ENTRIES = 50_000  # entries of one index.json
LAYOUT_MEMBERS = 1_000_000  # files in an oci-archive, also those that no image needs
TAR_EXTENSION_BYTES = 1 * MIB  # a pax header or a long name in an oci-archive
DOCKER_ARCHIVE_IMAGES = 10_000  # in one `docker save`, which can take a whole store
IMAGE_TAGS = 1000  # names that a docker-archive gives one image
SIGNATURE_FILES = 128  # beside one manifest in a dir: image; the bound of containers/image for stored signatures
SIGNATURE_FILE_BYTES = 4 * MIB  # the bound of containers/image for one signature
HINTS = 20  # names listed after an error
LAYOUT_MARK_BYTES = 4 * KIB  # the file oci-layout

# Evidence.
EVIDENCE_DEPTH = 8  # evidence about evidence: a signed SBOM is one step, real chains have two or three
DOWNLOADS = 4  # blobs and calls of skopeo at once; more only wait for the same line
IMAGES_AT_ONCE = 4  # images whose documents and evidence are looked up at once
LOOKUP_THREADS = 8  # places asked at once about one image's evidence
EVIDENCE_BLOB_BYTES = 128 * MIB  # cosign's bound for one attachment; BuildKit's is 40 MiB
LOG_ENTRY_BYTES = 8 * MIB
LOG_ENTRY_BLOB_BYTES = 12 * MIB  # an entry in base64, with its proof
LOG_ANSWER_BYTES = 16 * MIB  # an entry as Rekor's API gives it: body, proof, sometimes an attestation
PROOF_FILE_BYTES = 17 * MIB  # a log entry in base64, in the cache
NOTE_BYTES = 64 * KIB  # a checkpoint has some 200 bytes, and 150 for each cosignature
NOTE_SIGNATURES = 100  # the bound of Go's note package
SIGNATURE_PAYLOAD_BYTES = 1 * MIB  # simple signing; real ones have some 250 bytes
ANNOTATION_CHARACTERS = 1 * MIB  # certificates, chains and promises are a few kB
CERTIFICATES_IN_CHAIN = 10
CACHED_CERTIFICATES = 256  # those read last; authorities stand in every signature
CERTIFICATE_BYTES = 64 * KIB  # Fulcio leaves have 1 to 2 kB
STATEMENT_SUBJECTS = 1024
SUBJECT_DIGESTS = 32
LOG_ENTRIES = 32
LOG_RETRIES = 1  # a log that does not answer is a warning; nobody should wait long for it
LOG_TREES = 256  # trees of logs that a site remembers; Sigstore's own have some ten, with all old shards
LOG_LOOSE = 64  # checkpoints of one tree not yet proved to lie on its head's line
LOG_PROOF_HASHES = 64  # of a consistency proof in the largest tree
LOG_PROOFS = 1000  # consistency proofs of one tree in a bundle: one for each size that its evidence names
TIMESTAMPS = 32
TIMESTAMP_BYTES = 64 * KIB  # one answer of an authority; with certificates some 2 to 8 kB
SBOM_PACKAGES = 250_000  # a whole distribution's archive has some 60 000
SBOM_ITEMS = 2_000_000  # relationships and files of one; what can stand in EVIDENCE_BLOB_BYTES
SBOM_TOOLS = 1000
SBOM_TEXT_CHARACTERS = 64 * KIB  # one name, licence or identifier; licence texts are never read
SBOM_LICENCE_DEPTH = 32  # licences made of licences; real ones have two or three levels
PROVENANCE_MATERIALS = 100_000  # a hermetic build lists each of its inputs
DERIVATION_BYTES = 1 * MIB  # a platform takes some 500 bytes
PATCH_TOOLS = 16  # programs named in a derivation statement
SCAN_REPORT_BYTES = 64 * MIB  # of one platform, as Trivy writes it; large images have some MB
SCAN_FINDINGS = 200_000  # in one report
SCAN_TEXT_CHARACTERS = 4096  # of a carried report: scanner, version, address of its database, name of what it scanned
SCAN_NAMES = 1000  # digests that one names, and runs of one SARIF document; real ones have a few
TRUSTED_ROOT_BYTES = 1 * MIB
TRUSTED_ROOT_AUTHORITIES = 256

# Trust metadata in a bundle. Roots: one a week for twenty years.
ROOTS = 1024
TRUST_METADATA_BYTES = 1 * MIB
PROPOSAL_BYTES = 96 * MIB  # TRUST_TOTAL_BYTES in base64, and metadata
REVOCATION_BYTES = 16 * MIB  # every root: 1024 of them with some 4 to 16 kB
TRUST_TARGETS = 1024
TRUST_TARGET_BYTES = 4 * MIB
TRUST_TOTAL_BYTES = 64 * MIB
ROLE_KEYS = 64
TRUST_KEYS = 1024  # in one metadata file: every exporter has its keys in it
TRUST_STREAMS = 256  # one exporter each
KEY_FILE_BYTES = 64 * KIB
RSA_KEY_BITS = 8192  # larger ones only cost time

# Trust repositories of others, which can be large: hash bins make snapshots of some MB.
TUF_METADATA_BYTES = 8 * MIB  # python-tuf takes 5 MB
TUF_TARGET_BYTES = 256 * MIB  # held in memory; trusted material has some kB
TUF_SIGNATURES = 1024  # in one file
TUF_DELEGATED_ROLES = 65_536  # in one file, and patterns of one role: a large repository's hash bins
TUF_ROLES_VISITED = 64  # in one search; python-tuf stops at 32, without a word
TUF_ROLE_CHARACTERS = 240  # a role's name is a file's name

# The file.
INVENTORY_BYTES = 64 * MIB  # about 150 000 blobs
INVENTORY_BLOBS = 200_000
INVENTORY_IMAGES = 10_000
BLOB_BYTES = 1 << 50  # 1 PiB: far above any layer, far below what arithmetic could get wrong
BUNDLE_BYTES = 1 << 60  # all blobs together, as stored: offsets stay within a signed 64-bit integer
ZSTD_WINDOW_BYTES = 8 * MIB  # what stock `zstd -d` opens without a flag
COMPRESS_FROM_BYTES = 64 * KIB  # below, a frame saves less than a tar block or two
INVENTORY_TEXT_CHARACTERS = 1024  # a place that was searched is a URL at most
INVENTORY_DATA = 1000  # sources of vulnerability data; a folder is one
AUDIENCE_SITES = 1000
CRITICAL_NAMES = 64
IMAGE_EVIDENCE = 10_000  # several for each of an index's children
IMAGE_SEARCHES = 100_000  # some places for each subject
VERIFY_THREADS = 8  # 8 x (buffer and zstd window) stay below the memory budget; disks are slower than 8 cores
READ_BUFFER_BYTES = 2 * MIB  # measured: 1 to 4 MiB is flat
PIPED_DATA_BYTES = 8 * MIB  # of one blob of vulnerability data that is kept while a pipe is read
KEPT_IN_MEMORY_BYTES = 64 * MIB  # manifests and evidence kept while a pipe is read

# skopeo and other programs.
PROGRAM_OUTPUT_BYTES = 64 * KIB  # kept of what a program prints; a flood is drained and dropped
PROGRAM_LINES_SHOWN = 5
PROGRAM_CHARACTERS_SHOWN = 600
PROGRAM_GRACE_SECONDS = 1.0  # between the polite signal and the other one
WATCH_SECONDS = 0.25  # between two looks at what a program has written
SKOPEO_VERSION_SECONDS = 10.0
SKOPEO_CALL_SECONDS = (
    12 * 3600.0
)  # one platform's layers below LARGE_BLOB_BYTES over a slow line; standstill ends it sooner
SKOPEO_SPARE_BYTES = 32 * MIB  # manifest, layout files and blobs that it fetched although they were there
STAGED_FILES = 10_000  # counted in a call's folder; a manifest has far fewer
TOOL_VERSION_SECONDS = 30.0  # trivy reads its database's metadata for that
SCAN_SECONDS = 3600.0  # one scan, with a database that is fetched first
PATCH_SECONDS = 2 * 3600.0  # one platform by Copa: packages are fetched and installed, perhaps under emulation
RETRY_PAUSE_SECONDS = 30.0  # the longest pause between two tries

# Fetching.
LARGE_BLOB_BYTES = 1 * GIB  # from here on a blob is fetched resumably by our own client
BLOB_DROPS = 100  # broken connections of one blob, as long as each brought some bytes
HALT_SECONDS = 3.0  # for downloads to end after Ctrl-C or another's failure; who is late is left behind
HASHING_THREADS = 2  # beside downloads; one core hashes faster than most networks bring
BLOB_PIECE_BYTES = 1 * MIB  # read, hashed and written at once

# Pages for people.
PAGE_TEXT_CHARACTERS = 4000  # of one text; longer ones are whole in the JSON form
PAGE_FINDINGS = 2000  # of one image, the worst first; the JSON form has all

# Settings files typed by people.
SETTINGS_BYTES = 1 * MIB
SITE_NAME_CHARACTERS = 64
STATE_FILE_BYTES = 64 * MIB
OPERATORS = 8  # who put a new pin in place of a lost one; two are asked for
OPERATOR_CHARACTERS = 80
REASON_CHARACTERS = 1000  # typed for the log; a sentence or two

# Registries. A run asks some thousand times; a registry that answers more than this is broken or hostile.
URL_CHARACTERS = 16 * KIB  # redirects to object stores carry signatures of some 2 kB
REDIRECTS = 5  # registries use one, mirrors two
ERROR_BODY_BYTES = 64 * KIB
ERRORS_IN_BODY = 32
REGISTRY_MESSAGE_CHARACTERS = 200  # a registry's own words in our messages
ANSWER_OVERHEAD_BYTES = (
    8 * MIB
)  # what is no content: http.client takes 100 headers of 64 KiB; real answers have some kB
CHUNKING_FACTOR = 16  # a chunk of one byte takes six
LIST_PAGES = 1000  # of referrers or tags
LIST_PAGE_BYTES = 16 * MIB
REFERRERS = 10_000  # of one subject
TAGS = 1_000_000  # of one repository; build systems leave a tag for each commit
RETRY_AFTER_SECONDS = 60  # a longer wish is cut: the whole run would stand still
BACKOFF_SECONDS = 30
SLOWEST_BYTES_PER_SECOND = 1024  # slower than any modem that carries images
CHALLENGE_CHARACTERS = 8 * KIB  # one WWW-Authenticate header
TOKEN_ANSWER_BYTES = 256 * KIB  # tokens with many claims have 16 kB
TOKEN_CHARACTERS = 64 * KIB
TOKEN_SECONDS = 24 * 60 * 60  # a token that says it lives longer is renewed after a day
AUTH_FILE_BYTES = 4 * MIB
CREDENTIAL_HELPER_BYTES = 256 * KIB  # a user name and a secret, which can be a token
CREDENTIAL_HELPER_SECONDS = 30  # helpers ask a key ring or a cloud
CERT_DIR_FILES = 256
CERT_FILE_BYTES = 4 * MIB  # a whole system's list of authorities has 250 kB
CONNECTIONS_TO_ONE_HOST = 16  # kept open for the next request

# Pushing.
SENT_BYTES = 64 * KIB  # sent at once; within the time for silence that is SLOWEST_BYTES_PER_SECOND
PUSH_WHOLE_BYTES = 1 * MIB  # up to here a blob is hashed in memory and goes in one request
PUSH_STATE_BYTES = 4 * MIB  # between two copies of the hash's state (240 bytes), to go back to after a drop
PUSH_DROPS = 100  # broken connections of one blob, as long as each brought the registry some bytes
PUSH_LOOKS = 4  # at an upload whose line broke, 3.5 s in all: proxies tell a registry late that its client is gone
FALLBACK_LOOKS = 4  # at one fallback tag at a load's end: each later one means that another load added here as well
MOUNT_SOURCES = 4  # repositories of the registry that are asked for a blob; each costs a request, maybe a token
REGISTRY_HASHING_BYTES_PER_SECOND = 16 * MIB  # a registry that reads a blob again from slow disks before it answers

# Serving. A registry that answers clusters on its own site; clients are many and not trusted.
REQUEST_HEAD_BYTES = 32 * KIB  # tokens that clients send unasked have some kB
REQUEST_TARGET_CHARACTERS = 4 * KIB  # the longest of ours has some 600
REQUEST_HEADERS = 100
REQUEST_HEAD_SECONDS = 10.0  # from a request's first byte to the end of its head
REQUEST_IDLE_SECONDS = 60.0  # between two requests on one connection
REQUEST_DRAIN_BYTES = 256 * KIB  # of a body that nobody wants, so that the client gets to read the refusal
REQUEST_DRAIN_SECONDS = 2.0
TLS_HANDSHAKE_SECONDS = 10.0
SERVE_CONNECTIONS = 512  # a thread each
SERVE_CLIENT_CONNECTIONS = 256  # of one address, so that none takes them all; nodes behind one NAT share it
SERVE_BACKLOG = 256  # connections that the system holds until they are accepted
SERVE_CHUNKS_BYTES = 64 * MIB  # chunks in memory at once, of all answers together
SERVE_CHUNKS_AHEAD = 3  # read and proved while one is sent: both take about as long, and cores are seldom idle alike
SERVE_CHUNK_WAIT_SECONDS = 120.0  # for room among them; nobody holds a chunk longer than SERVE_HOLD_SECONDS
SERVE_HOLD_SECONDS = 1.0  # a client that takes longer for what is left of a chunk gets copies of small pieces of it
SERVE_PIECE_BYTES = 128 * KIB  # 512 slow clients hold 64 MiB of them
SERVE_PIECE_SECONDS = 30.0  # 4 kB in a second: slower than any modem that carries images
SERVE_QUICK_PIECE_SECONDS = 0.05  # a client that takes a piece in this time gets whole chunks again
SERVE_FRAMES = 3  # frames unpacked at once, and as many paused: each has a window and some buffers
SERVE_PAGE_ENTRIES = 1000  # tags or repositories in one answer
SERVE_REFERRERS_BYTES = 3 * MIB  # in one answer; clients read up to 4 MiB
SERVE_STOP_SECONDS = 10.0  # for answers under way after SIGTERM, which container runtimes allow as well
SERVE_LOG_LINES_PER_SECOND = 200  # more are counted and not written
SERVE_LOG_CHARACTERS = 512

# Vulnerability data. Everything in it is hostile, however often it was copied.
PURL_CHARACTERS = 4 * KIB  # with qualifiers some 300
PURL_FOLDERS = 32  # of a Go package URL's subpath, each of which can end a module's name; real ones have some five
VERSION_CHARACTERS = 160  # Go's pseudo-versions have some 45, Debian's longest 60
OSV_RECORD_BYTES = 16 * MIB  # the kernel's own have 1 to 2 MB, with every version listed
OSV_RECORDS = 4_000_000  # the whole of osv.dev has half a million
OSV_TOTAL_BYTES = 32 * GIB  # all records of one source, unpacked; the whole of osv.dev has some 3 GB
OSV_RATIO = 400  # of one record, unpacked to packed, from OSV_RATIO_FROM_BYTES on; real ones stay below 60
OSV_RATIO_FROM_BYTES = 1 * MIB
OSV_AFFECTED = 20_000  # packages of one record; a kernel advisory names some hundreds
OSV_RANGES = 2_000
OSV_EVENTS = 20_000  # of one range
OSV_VERSIONS = 200_000  # listed one by one for one package
OSV_ALIASES = 5_000  # an advisory of a distribution can name hundreds
OSV_SEVERITIES = 64
OSV_ID_CHARACTERS = 200
OSV_NAME_CHARACTERS = 1_000  # Maven's and Go's longest have some 200
OSV_SUMMARY_CHARACTERS = 400  # kept of one; the whole stands in the data
OSV_NAMES_CHARACTERS = 1_024  # of a file in the zip
OSV_ECOSYSTEMS = 20_000  # with their releases some 300
OSV_FOLDER_DEPTH = 6
OSV_REFUSED_NAMED = 100  # records that could not be read, by name; all are counted
ZIP_CENTRAL_BYTES = 1 * GIB  # 4 million entries with long names; read piece by piece
VECTOR_CHARACTERS = 512  # the longest CVSS 4 vector with everything has some 200
SARIF_TAGS = 20  # of one rule; GitHub refuses files with more
SCAN_FIXES_TRIED = 32  # fixed versions of one finding that are held against its records; real ones have some ten
SCAN_CACHED_FINDINGS = 200_000  # some 1 kB each; those of a hundred large images
SCAN_CACHED_PACKAGES = 50_000  # packages of many SBOMs are mostly the same ones

# VEX. Vendors' largest CSAF documents (one vulnerability in a whole distribution) have some 10 MB.
VEX_DOCUMENT_BYTES = 64 * MIB
VEX_DOCUMENTS = 200_000  # of all sources in one run; a vendor's whole archive has some 50 000
VEX_STATEMENTS = 50_000  # of one document
VEX_PRODUCTS = 200_000  # of one document, and products of one statement
VEX_GROUP_NAMES = 2_000_000  # products that entries of one document name by groups, all together
VEX_IDENTIFIERS = 64  # package URLs and hashes of one product
VEX_TEXT_CHARACTERS = 2_000  # kept of an impact or action statement; the whole stands in the document
VEX_REVISION_DIGITS = 9  # of a document's version
VEX_TREE_DEPTH = 32  # branches in branches of a CSAF product tree; real ones have five
VEX_AUTHORS = 256  # named in one rule of a policy

# What a site keeps of accepted deliveries.
KEPT_DELIVERIES = 10_000  # of one stream; one a day for 27 years
KEPT_PAPERS = 10_000  # SBOMs and VEX of one image
KEPT_LIST_BYTES = 16 * MIB  # read and written with each acceptance; 100 deliveries of 80 images with 4 SBOMs each
KEPT_DATA_SOURCES = 1000  # of one stream, the last brought; as many as one inventory can list
KEPT_DATA_BYTES = 8 * GIB  # of one source of vulnerability data; the whole of osv.dev has some 1 GB packed
