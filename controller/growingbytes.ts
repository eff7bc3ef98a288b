// Bytes that arrive in parts, each of which is copied once at most until all are there.

const FIRST_BYTES = 4096;
const BLOCK_BYTES = 64 * 1024;

/** Keeps what arrives in blocks, since one buffer that grows would be copied each time it does. */
export class GrowingBytes {
  #blocks: Uint8Array[] = [];
  /** The last block may have room left. */
  #free = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** About the memory that so many bytes take. */
  static roomFor(length: number): number {
    return Math.max(FIRST_BYTES, 2 ** Math.ceil(Math.log2(length)));
  }

  /** `part` must not change later. */
  add(part: Uint8Array): void {
    // A part of a buffer would keep all of it in memory.
    if (part.length >= BLOCK_BYTES / 2 && part.length === part.buffer.byteLength) {
      this.#closeLast();
      this.#blocks.push(part);
      this.#length += part.length;
      return;
    }
    for (let at = 0; at < part.length;) {
      if (this.#free === 0) this.#open();
      const block = this.#blocks.at(-1) ?? new Uint8Array(0);
      const piece = part.subarray(at, at + this.#free);
      block.set(piece, block.length - this.#free);
      this.#free -= piece.length;
      this.#length += piece.length;
      at += piece.length;
    }
  }

  /** All of them, in a buffer of their own. Nothing is left here. */
  take(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const block of this.#blocks) {
      const used = block.subarray(0, this.#length - at);
      all.set(used, at);
      at += used.length;
    }
    this.#blocks = [];
    [this.#free, this.#length] = [0, 0];
    return all;
  }

  #open(): void {
    this.#free = Math.min(BLOCK_BYTES, Math.max(FIRST_BYTES, this.#length));
    this.#blocks.push(new Uint8Array(this.#free));
  }

  /** Cuts off the room that is left in the last block. */
  #closeLast(): void {
    const last = this.#blocks.at(-1);
    if (last === undefined || this.#free === 0) return;
    this.#blocks[this.#blocks.length - 1] = last.slice(0, last.length - this.#free);
    this.#free = 0;
  }
}
