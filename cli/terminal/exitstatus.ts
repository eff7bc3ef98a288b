// The exit status of another program, handed on as that of the command that ran it.

/** Thrown by a command that has nothing more to say. */
export class ExitStatus extends Error {
  override readonly name = "ExitStatus";
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}
