/** Flags that the reference has by its libraries for flags and logs, accepted at their default only. */
import { absent } from "./flag_types.ts";

const LOG_FILES = "logging to files";
const GFLAGS_EXTRA = "this help or completion mode";

export const GFLAGS_FLAGS = [
  absent("log_dir", "", LOG_FILES),
  absent("log_link", "", LOG_FILES),
  absent("logbuflevel", 0, LOG_FILES),
  absent("logbufsecs", 30, LOG_FILES),
  absent("logfile_mode", 436, LOG_FILES),
  absent("max_log_size", 1800, LOG_FILES),
  absent("drop_log_memory", true, LOG_FILES),
  absent("stop_logging_if_full_disk", false, LOG_FILES),
  absent("alsologtoemail", "", "logging to mail"),
  absent("logemaillevel", 999, "logging to mail"),
  absent("logmailer", "/bin/mail", "logging to mail"),
  absent("colorlogtostderr", false, "a coloured log"),
  absent("log_backtrace_at", "", "verbose logging"),
  absent("symbolize_stacktrace", true, "verbose logging"),
  absent("v", 0, "verbose logging"),
  absent("vmodule", "", "verbose logging"),
  absent("tab_completion_columns", 80, GFLAGS_EXTRA),
  absent("tab_completion_word", "", GFLAGS_EXTRA),
  absent("helpmatch", "", GFLAGS_EXTRA),
  absent("helpon", "", GFLAGS_EXTRA),
  absent("helppackage", false, GFLAGS_EXTRA),
  absent("helpxml", false, GFLAGS_EXTRA),
] as const;
