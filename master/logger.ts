/** Log lines on one stream: glog's text form, or one JSON object per line. */

/** Levels in glog's numbering, which `--minloglevel` uses. */
export const LogLevel = { INFO: 0, WARNING: 1, ERROR: 2, FATAL: 3 } as const;
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel];

const LETTERS = "IWEF";
const NAMES = ["info", "warning", "error", "fatal"] as const;

export interface LoggerOptions {
  /** Name of the part of the program that logs, e.g. `master_admin`. */
  source: string;
  /** One object per line instead of text. */
  json: boolean;
  /** Lower levels are dropped. */
  minLevel: number;
  /** Start text lines with level, time and process id. */
  prefix: boolean;
  pid: number;
  /** Milliseconds since the Unix epoch, with a fraction. */
  now: () => number;
  /** Takes whole lines, each with its newline. */
  write: (line: string) => void;
}

/** Writes log lines. `fields` are added to JSON lines and left out of text. */
export class Logger {
  readonly #options: LoggerOptions;
  /** Lower levels are dropped. */
  minLevel: number;

  constructor(options: LoggerOptions) {
    this.#options = options;
    this.minLevel = options.minLevel;
  }

  info(message: string, fields?: object): void {
    this.#log(LogLevel.INFO, message, fields);
  }

  warning(message: string, fields?: object): void {
    this.#log(LogLevel.WARNING, message, fields);
  }

  error(message: string, fields?: object): void {
    this.#log(LogLevel.ERROR, message, fields);
  }

  /** Logs at any level: what is said cannot be had again. */
  always(message: string): void {
    this.#write(LogLevel.INFO, message);
  }

  #log(level: LogLevel, message: string, fields: object = {}): void {
    if (level >= this.minLevel) this.#write(level, message, fields);
  }

  #write(level: LogLevel, message: string, fields: object = {}): void {
    const { json, now, prefix, pid, source, write } = this.#options;
    if (json) {
      const time = new Date(now()).toISOString();
      write(JSON.stringify({ time, level: NAMES[level], source, message, ...fields }) + "\n");
      return;
    }
    const text = message.replaceAll("\n", "\\n");
    write(prefix ? `${glogPrefix(level, now(), pid, source)} ${text}\n` : `${text}\n`);
  }
}

/**
 * `Lmmdd hh:mm:ss.uuuuuu pid source:0]` in local time, as glog starts its lines. There is no line
 * number to tell, so it is 0.
 */
export function glogPrefix(level: LogLevel, nowMs: number, pid: number, source: string): string {
  const micros = Math.floor(nowMs * 1000) % 1_000_000;
  const time = new Date(nowMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = two(time.getMonth() + 1) + two(time.getDate());
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  const fraction = String(micros).padStart(6, "0");
  return `${LETTERS[level]}${date} ${clock}.${fraction} ${String(pid).padStart(5)} ${source}:0]`;
}
