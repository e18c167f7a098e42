//! Every limit, in one place, with its unit in its name. A refusal names the limit and its value.

use std::time::Duration;

/// Tasks in one job.
pub const JOB_TASKS_MAX: u32 = 10_000_000;
/// Arguments, all together, of one command; also all its environment.
pub const COMMAND_MAX_BYTES: usize = 128 * 1024;
/// A name of a job, an owner, a data set, a shared file, a label.
pub const NAME_MAX_BYTES: usize = 255;
/// The name of an image: a registry's 255, a tag's 128, a digest's 135.
pub const IMAGE_MAX_BYTES: usize = 520;
/// Shared files of one job.
pub const SHARED_FILES_MAX: usize = 64;
/// Jobs that are not final.
pub const LIVE_JOBS_MAX: usize = 10_000;
/// Slots of one worker.
pub const WORKER_SLOTS_MAX: u32 = 4096;
/// Graphics processors of one worker.
pub const WORKER_GPUS_MAX: u32 = 1024;
/// Users that slots may take, the first and the last of a range. Nobody gives out the first (it lies between those of services and those of
/// containers); the second, which systemd gives to services for as long as they run, is there in containers that have 65,536 users.
pub const TASK_UID_RANGES: [(u32, u32); 2] = [(70_000, 79_999), (61_184, 65_519)];
/// Users in a range of which only the first is named.
pub const TASK_UIDS: u32 = 10_000;
/// Processes and threads of one slot, unless its admin says otherwise: a program with a thread per processor needs hundreds.
pub const TASK_PROCESSES_MAX: u64 = 4096;
/// Files that a process in a sandbox may have open.
pub const TASK_OPEN_FILES_MAX: u64 = 65_536;
/// What a slot behind walls may have in each of `/tmp`, `/var/tmp` and `/dev/shm`, which are in memory.
pub const TASK_TMP_MAX_BYTES: u64 = 1 << 30;
/// With less a launcher does not start itself.
pub const TASK_MEM_MIN_BYTES: u64 = 64 << 20;
/// What a worker says of what its sandbox does not keep.
pub const SANDBOX_GAPS_MAX: usize = 16;
/// How long a container program may take to say that it is there.
pub const CONTAINER_PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to look for an image, to list or to remove containers, to let one stand still.
pub const CONTAINER_CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Processes of the worker's own user, where tasks in images are his: what the kernel has at most.
pub const CONTAINER_USER_PROCESSES_MAX: u64 = 4 << 20;
/// How long an image may take to come.
pub const IMAGE_PULL_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// The end of what a container program says that is looked at, and repeated.
pub const CONTAINER_SAID_MAX_BYTES: usize = 4096;
/// Workers attached at once.
pub const WORKERS_MAX: usize = 10_000;

/// Labels of one worker or one job.
pub const LABELS_MAX: usize = 64;
/// The longest time limit of an attempt: a year.
pub const TASK_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest time from TERM to KILL.
pub const GRACE_MAX: Duration = Duration::from_secs(3600);
/// Failed attempts of one task that are tried again.
pub const RETRIES_MAX: u32 = 1000;
/// Attempts of a job that ended otherwise than well, of which it is kept where they lie, 24 bytes each: the first ones.
pub const ATTEMPTS_KEPT_MAX: u64 = 1 << 20;
/// Of one task, the latest are shown.
pub const ATTEMPTS_SHOWN_MAX: usize = 100;
/// How long a tree of processes is stopped that forks on.
pub const FREEZE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest a pause lasts that ends by itself: a year.
pub const PAUSE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// From a failure to the next attempt, where the job does not say.
pub const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(1);
/// The longest time from a failure to the next attempt.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(3600);
/// Exit codes that a job names as worth another try.
pub const RETRY_ON_MAX: usize = 256;
/// Commands of earlier rounds that a job remembers.
pub const EARLIER_COMMANDS_MAX: usize = 16;
/// The next tries of failed tasks come together within so long: each moment of a job looks at all that it has out.
pub const RETRY_TOGETHER: Duration = Duration::from_millis(100);
/// Workers that one task may take down before it is taken for the cause.
pub const POISON_LOSSES: u32 = 5;
/// A sentence for a person that comes from the other side: a refusal, a reason.
pub const TEXT_MAX_BYTES: usize = 4096;

/// One record of a data set (a line, a spectrum, a protein).
pub const RECORD_MAX_BYTES: u64 = 1 << 30;
/// What stands before the first record and is repeated in every chunk.
pub const HEADER_MAX_BYTES: u64 = 1 << 20;
/// One field of a CSV table between quotes: more is a quote that is never closed.
pub const QUOTED_FIELD_MAX_BYTES: u64 = 64 << 20;
/// The pattern of a `records` rule.
pub const PATTERN_MAX_BYTES: usize = 200;
/// What a pattern is compiled to: the time for a byte grows with it, to a few microseconds at worst.
pub const PATTERN_PROGRAM_MAX_BYTES: usize = 64 * 1024;
/// The states that it keeps while it looks at lines.
pub const PATTERN_STATES_MAX_BYTES: usize = 1 << 20;
/// One line that a pattern looks at.
pub const PATTERN_LINE_MAX_BYTES: usize = 16 << 20;

/// Files in an archive or a folder that is a data set.
pub const ARCHIVE_FILES_MAX: usize = 1_000_000;
/// One file of it: no more than a record to cut, so it may be larger than the records of a text.
pub const ARCHIVE_FILE_MAX_BYTES: u64 = 1 << 40;
/// One part of a file's path in an archive, as file systems have it.
pub const MEMBER_NAME_MAX_BYTES: usize = 255;
/// A file's path in an archive.
pub const MEMBER_PATH_MAX_BYTES: usize = 2048;
/// How deep in an archive a file may lie.
pub const MEMBER_DEPTH_MAX_FOLDERS: usize = 64;
/// What a tar archive may say of one file before it: names, times, attributes.
pub const TAR_EXTENSION_MAX_BYTES: usize = 1 << 20;
/// The directory of a zip archive, which is held in memory: enough for some 100,000 files. A tar has none.
pub const ZIP_DIRECTORY_MAX_BYTES: u64 = 8 << 20;

/// One piece of an upload or download.
pub const PIECE_MAX_BYTES: usize = 1 << 20;
/// One piece as we send it.
pub const PIECE_BYTES: usize = 256 * 1024;
/// After so much of an upload the head makes it durable, and says so.
pub const UPLOAD_DURABLE_EVERY_BYTES: u64 = 4 << 20;
/// What a client keeps of an upload in memory, to send it again: what is not durable yet.
pub const UPLOAD_UNSURE_MAX_BYTES: usize = 16 << 20;
/// Uploads that have begun and not ended.
pub const PARTIAL_UPLOADS_MAX: usize = 1000;
/// So long after the last byte has come an upload is given up.
pub const PARTIAL_UPLOAD_KEPT: Duration = Duration::from_secs(24 * 3600);
/// One HTTP/2 frame: a piece in one, since each costs a system call on both sides.
pub const FRAME_MAX_BYTES: u32 = 512 * 1024;
/// One that is not open is idle so long after its last byte, and may make room on a disk that is almost full: a client that has lost its
/// connection comes again sooner.
pub const PARTIAL_UPLOAD_IDLE_AFTER: Duration = Duration::from_secs(60);
/// Between two looks at uploads that nobody goes on with. Longer than a client waits between two tries, so that it is back before the first.
pub const UPLOADS_SWEPT_EVERY: Duration = Duration::from_secs(10);
/// Uploads that were stored within [`PARTIAL_UPLOAD_KEPT`] and are known by their ids, for clients that have not heard of it.
pub const UPLOAD_RECEIPTS_MAX: usize = 10_000;
/// What is noted of one of them: three digests and a name.
pub const UPLOAD_RECEIPT_MAX_BYTES: u64 = 1024;
/// An upload that brings nothing for so long loses its place among the transfers, unless the head is told otherwise.
pub const UPLOAD_SILENCE_MAX: Duration = Duration::from_secs(60);
/// The same, where somebody waits to go on with it: most often its own client, whose connection was lost without a word.
pub const UPLOAD_SILENCE_MAX_IF_AWAITED: Duration = Duration::from_secs(10);
/// Between two looks whether somebody waits.
pub const UPLOAD_SILENCE_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// Owners with a quota of their own.
pub const QUOTAS_MAX: usize = 10_000;
/// One gRPC message.
pub const MESSAGE_MAX_BYTES: usize = 4 << 20;
/// One body of JSON, by plain HTTP: more than a command and an environment of their largest take.
pub const BODY_MAX_BYTES: usize = 1 << 20;
/// How long such a body may take to come.
pub const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Who is told of a job's events by plain HTTP hears at least so often that the connection stands.
pub const EVENTS_HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// A result that rides in the `Finished` message; a larger one goes to `ResultService` first.
pub const RESULT_INLINE_MAX_BYTES: usize = 256 * 1024;
/// A result that its worker keeps in memory; a larger one is a file, read again when it is sent.
pub const RESULT_IN_MEMORY_MAX_BYTES: usize = 8 * 1024;
/// What the larger of those that ride may take, all together, until the head has acknowledged them: an answer to a kill waits behind no more than
/// that, 9 ms on a line of a gigabit, and no queue on the way holds more of a worker. What finds no room goes to `ResultService` as well.
pub const RESULTS_RIDING_MAX_BYTES: usize = 1 << 20;
/// The same in messages that have come from one worker, at the head: above it the stream waits until the jobs have stored some.
pub const SESSION_RESULTS_MAX_BYTES: usize = 8 << 20;
/// Files that one task may leave in its output folder.
pub const OUTPUT_FILES_MAX: usize = 10_000;
/// Things of any kind in an output folder, folders and what is left out included: it bounds the time that a look takes.
pub const OUTPUT_THINGS_MAX: usize = 10 * OUTPUT_FILES_MAX;
/// The longest name of a result's file: its path below the output folder.
pub const OUTPUT_PATH_MAX_BYTES: usize = 1024;
/// How deep below the output folder a file may lie.
pub const OUTPUT_DEPTH_MAX_FOLDERS: usize = 64;
/// Contents of one result, before packing, all together: a sparse file may claim any length.
pub const OUTPUT_MAX_BYTES: u64 = 64 << 30;
/// Things that are left out of a result and named, each with its reason.
pub const LEFT_OUT_NAMED_MAX: usize = 20;
/// Entries of one result: standard output and error beside the files.
pub const RESULT_ENTRIES_MAX: usize = OUTPUT_FILES_MAX + 2;
/// The packed bytes of one result: above it, a wrong length is likelier than a result.
pub const RESULT_DATA_MAX_BYTES: u64 = 1 << 40;
/// Standard output of one task; above it the task is stopped.
pub const STDOUT_MAX_BYTES: u64 = 1 << 30;
/// Standard error of one task; above it the task is stopped.
pub const STDERR_MAX_BYTES: u64 = 256 << 20;
/// Standard error that is kept: its end.
pub const STDERR_KEPT_BYTES: usize = 64 * 1024;
/// One piece of the output of a task that runs, on its way to somebody who follows it.
pub const FOLLOW_PIECE_MAX_BYTES: usize = 32 * 1024;
/// Pieces that one worker sends in a second, for all who follow its tasks: 4 MiB/s, so that results and chunks have the line to themselves.
pub const FOLLOW_PIECES_PER_SECOND_MAX: u32 = 128;
/// Whoever is further behind than this misses the middle.
pub const FOLLOW_BEHIND_MAX_BYTES: u64 = 4 << 20;
/// What he then gets of it: the end. As much is kept in memory of an output whose task has ended, for each who follows it, until he has it.
pub const FOLLOW_REST_MAX_BYTES: u64 = 64 * 1024;
/// Between two looks at an output that does not grow.
pub const FOLLOW_LOOK_EVERY: Duration = Duration::from_millis(100);
/// So often a worker that has nothing to send asks whether somebody still wants it.
pub const FOLLOW_ASK_EVERY: Duration = Duration::from_secs(5);
/// The head asks a worker anew after so long without a word.
pub const FOLLOW_SILENCE_MAX: Duration = Duration::from_secs(15);
/// After an attempt is over at the head its last output may take so long to come.
pub const FOLLOW_LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// A task that the head calls started is with its slot's thread within this.
pub const FOLLOW_BEGINS_WITHIN: Duration = Duration::from_secs(2);
/// Those who follow outputs, all together.
pub const FOLLOWERS_MAX: usize = 256;
/// Those who follow one task.
pub const TASK_FOLLOWERS_MAX: usize = 16;
/// Outputs that one worker sends at once. Who has gone is known a moment later, so one task may take more than may follow it.
pub const WORKER_FOLLOWS_MAX: usize = 128;
/// Blocks in which a result is fed to the compressor: other sizes give other bytes.
pub const DEFLATE_BLOCK_BYTES: usize = 64 * 1024;
/// Description of one result record (names, lengths, checksums).
pub const RESULT_HEADER_MAX_BYTES: usize = 4 << 20;

/// Names of all files of one result.
pub const RESULT_NAMES_MAX_BYTES: usize = 2 << 20;

/// One message to or from a launcher: a command and an environment.
pub const LAUNCHER_FRAME_MAX_BYTES: usize = 4 << 20;
/// How long a process may survive KILL: one in uninterruptible sleep does, until its disk answers.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// A task under which its launcher is killed so often on one worker has failed: it kills its parent, or uses up the memory.
pub const LAUNCHER_DEATHS_MAX: usize = 3;
/// The latest deaths of launchers that a worker remembers.
pub const LAUNCHER_DEATHS_REMEMBERED_MAX: usize = 256;

/// One value in the store: larger ones go to files that sled never syncs.
pub const STORE_VALUE_MAX_BYTES: usize = 16 * 1024;
/// One journal entry, which may span values.
pub const ENTRY_MAX_BYTES: usize = 1 << 20;
/// Entries in one group commit.
pub const COMMIT_ENTRIES_MAX: usize = 4096;
/// Batches after which a snapshot is taken and older batches are dropped.
pub const SNAPSHOT_EVERY_BATCHES: u64 = 4096;
/// Entries after which the same is done, so that a start never has more than a moment's worth to read again.
pub const SNAPSHOT_EVERY_ENTRIES: usize = 200_000;
/// sled's cache.
pub const STORE_CACHE_BYTES: u64 = 16 << 20;

/// A page of a listing.
pub const PAGE_MAX_ITEMS: usize = 1000;
/// The same: it is shorter where its items are large.
pub const PAGE_MAX_BYTES: usize = MESSAGE_MAX_BYTES / 2;
/// A configuration, a job file, a template: a larger one is a mistake.
pub const TOML_MAX_BYTES: u64 = 1 << 20;
/// The name of a template, which is a file's.
pub const TEMPLATE_NAME_MAX_BYTES: usize = 200;
/// Jobs in one job file.
pub const JOBS_PER_FILE_MAX: usize = 1000;
/// Jobs that a command line steers at once.
pub const SELECTED_JOBS_MAX: usize = 2 * LIVE_JOBS_MAX;
/// Ranges of jobs' numbers in one request for a listing.
pub const JOB_RANGES_MAX: usize = 1000;
/// Messages on the way to one worker.
pub const SESSION_QUEUE_MAX: usize = 1024;
/// Events that a watcher may be behind before it is cut.
pub const WATCH_QUEUE_MAX: usize = 256;
/// Spans that wait for the collector of traces; what comes while so many do is dropped, and counted.
pub const TRACE_QUEUE_SPANS_MAX: usize = 8192;
/// Spans of one message to it.
pub const TRACE_BATCH_SPANS_MAX: usize = 512;
/// It gets no more than one message in such a time: 5,000 spans a second.
pub const TRACE_BATCH_EVERY: Duration = Duration::from_millis(100);
/// Spans gather for so long before they go to it.
pub const TRACE_GATHER_FOR: Duration = Duration::from_secs(1);
/// How long it may take to answer.
pub const TRACE_ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a head that ends tells it what is left.
pub const TRACE_FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// Tasks of a job that have come back from a worker of which is remembered since when they wait.
pub const TRAIL_WAITING_MAX: usize = 10_000;
/// Rounds of a job of which is remembered when they began.
pub const TRAIL_ROUNDS_MAX: usize = 64;
/// What a span says of why something failed.
pub const TRACE_TEXT_MAX_CHARS: usize = 256;
/// The window that compressed data may ask for while it is unpacked: that of `zstd -19`. As many may be unpacked at once as are transferred.
pub const UNPACK_WINDOW_MAX_BYTES: u64 = 8 << 20;
/// Connections that the head's port holds at once: two of each worker, and those of clients.
pub const CONNECTIONS_MAX: usize = 2 * WORKERS_MAX + 4096;
/// Of one address no more than five sixths of the places: all workers may stand behind one, and some are left for others.
pub const PLACES_PER_ADDRESS: (usize, usize) = (5, 6);
/// From one address one connection may come after the other in such a time: each takes a handshake.
pub const ARRIVALS_EVERY: Duration = Duration::from_millis(1);
/// So many may come at once, after a pause: workers that all lost their head.
pub const ARRIVALS_AT_ONCE: u32 = 2000;
/// Who would have to wait longer for his turn is refused.
pub const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// Who shows no certificate where others do can join, or look whether the head is well, and does not stay.
pub const STRANGER_STAYS_MAX: Duration = Duration::from_secs(60);
/// Uploads and downloads at once.
pub const TRANSFERS_MAX: usize = 64;
/// Tasks that a worker may have been sent ahead of a free slot.
pub const AHEAD_MAX: u32 = 1024;
/// As many tasks may go ahead as a worker's slots take through in such a time: so long one waits there, about.
pub const AHEAD_WINDOW: Duration = Duration::from_millis(32);
/// That tasks are short is taken to be true so long after the last one has ended.
pub const AHEAD_REMEMBERED: Duration = Duration::from_secs(1);
/// What was sent ahead goes back when the first of it has waited so long.
pub const AHEAD_PATIENCE: Duration = Duration::from_millis(100);
/// Leases in one message to or from a worker.
pub const LEASES_PER_MESSAGE_MAX: usize = 1024;

/// Attempts that a worker may hold when it connects; a Hello can't be sent in parts, and this many fit a message.
pub const HELD_LEASES_MAX: usize = 64 * 1024;
/// Jobs remembered as introduced to the worker; beyond it those without a lease here are forgotten, and introduced again when they return.
pub const INTRODUCED_JOBS_MAX: usize = 1024;
/// Data sets that are split at once.
pub const SPLITS_AT_ONCE_MAX: usize = 2;

/// How often each end of a session says that it lives.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// A worker that the head has not heard for so long is lost, though its connection stands.
pub const WORKER_SILENT_AFTER: Duration = Duration::from_secs(12);
/// A worker starts what it was sent only so long after a heartbeat that the head has heard, by the worker's own clock; then it ends its
/// session unread.
pub const LEASE: Duration = Duration::from_secs(8);
/// So long after a worker was last heard, what was sent to it can't start there any more, if it is lost: the lease, and a second for clocks
/// that differ.
pub const SENT_GONE_AFTER: Duration = Duration::from_secs(9);
/// So long after a lost worker was last heard, what had started there goes to others, unless the worker is back: a connection that
/// breaks between two that live is mended sooner.
pub const STARTED_GONE_AFTER: Duration = Duration::from_secs(4);
/// How long a verb waits for a worker's answer before it names the worker as unconfirmed.
pub const FENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a started head waits for the workers it knew to claim what they run.
pub const REATTACH_WINDOW: Duration = Duration::from_secs(30);
/// From TERM to KILL, unless the job says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);
/// Any call between actors.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Results that wait on a worker for the head before it takes no more tasks.
pub const RESULTS_KEPT_MAX: usize = 10_000;
/// Their bytes, unless told otherwise.
pub const RESULTS_KEPT_MAX_BYTES: u64 = 10 << 30;
/// Chunks and shared files that a worker keeps, unless told otherwise.
pub const WORKER_CACHE_MAX_BYTES: u64 = 10 << 30;
/// How many of them: they are noted in memory.
pub const WORKER_CACHE_MAX_PIECES: usize = 20_000;
/// A chunk of at most so many bytes, with its header, is read with those beside it, and never kept beyond its task.
pub const SMALL_CHUNK_MAX_BYTES: u64 = 64 * 1024;
/// Small chunks that are read by one call.
pub const READ_AHEAD_MAX_BYTES: u64 = 1 << 20;
/// How many such parts of data sets a worker keeps in memory.
pub const READ_AHEAD_BLOCKS: usize = 8;
/// What a file takes at least on a disk, and what is noted of a file or a folder.
pub const DISK_BLOCK_BYTES: u64 = 4096;
/// How long a finished job is kept, unless it or its head says otherwise.
pub const KEEP_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long the request that has made a job is known after the job was deleted.
pub const REQUEST_KNOWN_AFTER_DELETE: Duration = Duration::from_secs(7 * 24 * 3600);
/// The last verbs that a job remembers, with who said them and why.
pub const SAID_KEPT_MAX: usize = 20;
/// Deletions that are remembered so long, so that a request that comes again is answered as it was.
pub const DELETIONS_KNOWN_MAX: usize = 10_000;
/// How long the bytes of a deleted data set stay aside, for an upload of the same that has found them in place a moment before.
pub const DELETED_DATA_ASIDE: Duration = Duration::from_secs(60);
/// Jobs that are named as users of a data set.
pub const DATASET_USERS_NAMED_MAX: usize = 20;

/// How long a worker that has no head runs on what it has, unless told otherwise.
pub const ALONE_MAX: Duration = Duration::from_secs(40 * 60);

/// A worker whose machine has failed a task (a full disk) takes none for so long; then one to try; then twice as long, and so on.
pub const REST_FIRST: Duration = Duration::from_secs(2);
/// The longest rest between two tries.
pub const REST_MAX: Duration = Duration::from_secs(5 * 60);
/// A worker's disk with less room than this for a file in its folder is full.
pub const WORKER_DISK_MIN_BYTES: u64 = 1 << 20;

/// A head takes no new uploads with less than this part of its disk free, or with less than [`DISK_YELLOW_BYTES`], whichever is smaller.
pub const DISK_YELLOW_PERCENT: u64 = 10;
/// See [`DISK_YELLOW_PERCENT`].
pub const DISK_YELLOW_BYTES: u64 = 10 << 30;
/// No new jobs and tasks either, likewise.
pub const DISK_RED_PERCENT: u64 = 2;
/// See [`DISK_RED_PERCENT`].
pub const DISK_RED_BYTES: u64 = 2 << 30;
/// Room on the head's disk that is kept for what has to be written on a full one; on a small disk one part of a hundred.
pub const DISK_RESERVE_BYTES: u64 = 64 << 20;

/// Tasks that fail on one worker, one after the other, before it is put under suspicion.
pub const SUSPECT_AFTER_FAILURES: u32 = 5;
/// Jobs that these are of, at least.
pub const SUSPECT_AFTER_JOBS: usize = 2;
/// So long after that a worker gets a task to try; then twice as long, and so on.
pub const SUSPECT_PROBE_FIRST: Duration = Duration::from_secs(30);
/// The longest pause between two tries.
pub const SUSPECT_PROBE_MAX: Duration = Duration::from_secs(15 * 60);

/// How long jobs behind it may take the room from a job whose tasks are larger, before a worker is kept free for it.
pub const RESERVE_AFTER: Duration = Duration::from_secs(60);
/// Share of started tasks, in percent, from which on a job is almost done.
pub const FINISH_LINE_PERCENT: u64 = 95;
/// A job past its finish line has no more tasks left than this many times the cluster's slots.
pub const FINISH_LINE_SLOTS_FACTOR: u32 = 4;

/// Tokens that may still be redeemed.
pub const TOKENS_MAX: usize = 10_000;
/// How long a token may be redeemed, at most: 90 days.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// How often a token may be redeemed, at most.
pub const TOKEN_USES_MAX: u32 = 10_000;
/// Those who have been let in, revoked ones included, until they are forgotten.
pub const PRINCIPALS_MAX: usize = 100_000;
/// So long after its last certificate has expired a principal is forgotten, and so long after its end a token.
pub const IDENTITY_KNOWN_AFTER_END: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a certificate of a worker or a user counts; it is renewed at half of that.
pub const CERTIFICATE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// That of an admin that was made on the head's machine, where nobody renews it as a matter of course: 90 days.
pub const FIRST_ADMIN_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// That of the head, which renews it when it starts, and at half of it.
pub const HEAD_CERTIFICATE_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// That of the authority which signs all others.
pub const AUTHORITY_LIFE: Duration = Duration::from_secs(3652 * 24 * 3600);
/// A certificate counts from so long before it was made, for machines whose clock is behind.
pub const CERTIFICATE_BACKDATED: Duration = Duration::from_secs(3600);
/// A request for a certificate, and any file of certificates and keys.
pub const CERTIFICATE_FILE_MAX_BYTES: usize = 64 * 1024;

/// One file of the audit; then the next one begins.
pub const AUDIT_FILE_MAX_BYTES: u64 = 64 << 20;
/// One line of it: what it holds is cut to fit.
pub const AUDIT_LINE_MAX_BYTES: usize = 16 * 1024;
/// A text in a line of it.
pub const AUDIT_TEXT_MAX_BYTES: usize = 1024;
/// Room on the disk that the audit has ahead, so that on a full one kills and pauses can still be noted: some thousand lines.
pub const AUDIT_AHEAD_BYTES: u64 = 1 << 20;
/// Refused calls that are noted one by one, in a second; of more only the number is.
pub const AUDIT_REFUSALS_PER_SECOND_MAX: u32 = 20;

/// A machine of a pool whose worker has gone without a goodbye is counted on for so long.
pub const POOL_LOST_AFTER: Duration = Duration::from_secs(2 * 60);
/// From a hook of a scaler that has failed to the next try.
pub const POOL_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Pages in browsers that are kept up to date at once.
pub const LIVE_PAGES_MAX: usize = 512;
/// Terminals and programs that are told at once when something changes.
pub const CLUSTER_WATCHERS_MAX: usize = 512;
/// Between two words that something has changed, to one of them.
pub const CLUSTER_CHANGE_EVERY: Duration = Duration::from_millis(250);

/// Ended jobs of which a watcher remembers that it has told their end: the highest numbers.
pub const NOTICED_ENDS_MAX: usize = 1000;
/// Notices that wait for one of those who want them; of more the oldest go.
pub const LETTERS_MAX: usize = 10_000;
/// The same, by the bytes that would be sent.
pub const LETTERS_MAX_BYTES: usize = 16 << 20;
/// From the first try of a notice that has failed to the next; then twice as long, and so on.
pub const LETTER_PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two tries.
pub const LETTER_PAUSE_MAX: Duration = Duration::from_secs(5 * 60);
/// A notice that could not be delivered for so long is given up.
pub const LETTER_GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
