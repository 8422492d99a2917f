// The WebSocket, kept up: connects again after whatever ended it, and takes up where it was. It knows the protocol, and nothing of charts.

const WAITS_S = [0.3, 1, 2, 4, 8];
const SILENCE_MS = 10_000; // the service says its status every second
const CHANNELS = ["delta", "signals", "footprint"];
const CHANNEL_OF = { delta_update: "delta", gap: "delta", reset: "delta", roll: "delta", signal: "signals", footprint_update: "footprint" };

/**
 * url        of the WebSocket        token  a function that gives the token, or null
 * on         {state(name, detail), hello(message), snapshot(message), message(message), refused(message), unauthorized()}
 *            state: "connecting", "live", "waiting"
 */
export class Connection {
  constructor(url, token, on) {
    this.url = url;
    this.token = token;
    this.on = on;
    this.reconnects = 0;
    this._socket = null;
    this._wanted = null; // {symbol, timeframe, history}
    this._names = null; // {market, timeframe} as the service calls what is wanted, once it answered
    this._stream = null;
    this._seqs = {};
    this._tries = 0;
    this._timer = 0;
    this._heard = 0;
    this._id = 0;
    setInterval(() => this._checkSilence(), 2_000);
    window.addEventListener("online", () => this._now());
    document.addEventListener("visibilitychange", () => document.hidden || this._now());
  }

  open() {
    clearTimeout(this._timer);
    this._timer = 0;
    this.on.state("connecting", null);
    const socket = new WebSocket(this.url);
    this._socket = socket;
    this._heard = performance.now();
    socket.onopen = () => {
      const token = this.token();
      if (token) this._say({ type: "auth", token });
    };
    socket.onmessage = (event) => socket === this._socket && this._hear(JSON.parse(event.data));
    socket.onclose = (event) => socket === this._socket && this._closed(event);
  }

  /** Watch a contract at a timeframe, and nothing else. */
  watch(symbol, timeframe, history) {
    if (this._names) this._say({ type: "unsubscribe", symbol: this._names.market, timeframe: this._names.timeframe, channels: CHANNELS });
    this._wanted = { symbol, timeframe, history };
    this._names = null;
    this._stream = null;
    this._seqs = {};
    this._subscribe();
  }

  // --- the work

  _say(message) {
    if (this._socket?.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify(message));
  }

  _subscribe() {
    if (!this._wanted) return;
    const resume = this._names && this._stream ? { stream: this._stream, seqs: this._seqs } : null;
    this._id += 1;
    this._say({ type: "subscribe", ...this._wanted, channels: CHANNELS, id: this._id, ...(resume && { resume }) });
  }

  _hear(message) {
    this._heard = performance.now();
    const { type } = message;
    if (type === "hello") {
      this._tries = 0;
      this.on.hello(message);
      this._say({ type: "subscribe", channels: ["status"], id: 0 });
      this._subscribe();
    } else if (type === "snapshot") {
      if (message.id !== this._id) return;
      this._names = { market: message.market, timeframe: message.timeframe };
      this._stream = message.stream;
      this._seqs = { ...message.seqs };
      this.on.state("live", null);
      this.on.snapshot(message);
    } else if (type === "resumed") {
      if (message.id === this._id) this.on.state("live", "resumed");
    } else if (type === "error") {
      this._refused(message);
    } else if (type === "status") {
      this.on.message(message);
    } else if (type in CHANNEL_OF) {
      if (message.market !== this._names?.market || message.timeframe !== this._names?.timeframe) return; // of what was watched before
      this._seqs[CHANNEL_OF[type]] = message.seq;
      this.on.message(message);
    }
  }

  _refused(message) {
    if (message.code === "unauthorized") {
      this._wait(null, message.message);
      this.on.unauthorized();
    } else if (message.code === "unavailable" && message.id === this._id) {
      this.on.state("waiting", message.message);
      setTimeout(() => this._id === message.id && this._subscribe(), 1_000);
    } else if (message.id === this._id) {
      this.on.refused(message);
    } else {
      this._why = message.message; // slow_client, closing, full: the socket is closed next
    }
  }

  _closed(event) {
    const why = this._why || event.reason || "the service cannot be reached";
    this._why = null;
    if (this._timer !== 0 || this._socket === null) return;
    this.reconnects += 1;
    this._wait(WAITS_S[Math.min(this._tries, WAITS_S.length - 1)] * (0.8 + 0.4 * Math.random()), why);
    this._tries += 1;
  }

  _wait(seconds, why) {
    const socket = this._socket;
    this._socket = null;
    socket?.close();
    this.on.state("waiting", why);
    if (seconds !== null) this._timer = setTimeout(() => this.open(), seconds * 1_000);
  }

  _now() {
    if (this._timer) this.open();
  }

  _checkSilence() {
    if (this._socket?.readyState === WebSocket.OPEN && performance.now() - this._heard > SILENCE_MS) {
      this._tries = 0;
      this.reconnects += 1;
      this._wait(0.1, "nothing was heard from the service");
    }
  }
}
