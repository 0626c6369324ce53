// Sounds: recorded, read from files, and drawn as waveforms.

import { button, h, openDialog } from './dom.ts';

/** Number of bars in a waveform. */
const BARS = 40;

/** Sample rate of recordings in Hz. */
const RATE = 16_000;

/** Loudness of a sound over time, 0 to 1; undefined if the browser cannot decode it. */
export async function wave(file: Blob): Promise<number[] | undefined> {
  try {
    const samples = await mono(file);
    return bars(samples);
  } catch {
    return undefined;
  }
}

function bars(samples: Float32Array): number[] {
  const width = samples.length / BARS;
  const loud = Array.from({ length: BARS }, (_, bar) => {
    let most = 0;
    for (let i = Math.floor(bar * width); i < Math.floor((bar + 1) * width); i++) {
      most = Math.max(most, Math.abs(samples[i]!));
    }
    return most;
  });
  const most = Math.max(...loud, 1e-6);
  return loud.map((value) => value / most);
}

/** Decodes a sound to samples of one channel at 16 kHz. */
async function mono(file: Blob): Promise<Float32Array> {
  const context = new OfflineAudioContext(1, 1, RATE);
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const mixed = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const samples = sound.getChannelData(channel);
    for (let i = 0; i < mixed.length; i++) {
      mixed[i]! += samples[i]! / sound.numberOfChannels;
    }
  }
  return mixed;
}

/** Sound for the server: unchanged, or as WAV if only the browser can decode it. */
export async function readable(file: File): Promise<File> {
  if (/\.(wav|flac|ogg|oga|mp3)$/i.test(file.name)) {
    return file;
  }
  try {
    const name = file.name.replace(/\.[^.]+$/, '') + '.wav';
    return new File([toWav(await mono(file))], name, { type: 'audio/wav' });
  } catch {
    throw new Error(`${file.name} is no sound that is read here. Use WAV, FLAC, Ogg or MP3.`);
  }
}

/** Encodes a 16-bit WAV file at 16 kHz. */
export function toWav(samples: Float32Array): ArrayBuffer {
  const file = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const write = (at: number, text: string) =>
    [...text].forEach((letter, i) => file.setUint8(at + i, letter.charCodeAt(0)));
  write(0, 'RIFF');
  file.setUint32(4, 36 + samples.length * 2, true);
  write(8, 'WAVEfmt ');
  file.setUint32(16, 16, true);
  file.setUint16(20, 1, true);
  file.setUint16(22, 1, true);
  file.setUint32(24, RATE, true);
  file.setUint32(28, RATE * 2, true);
  file.setUint16(32, 2, true);
  file.setUint16(34, 16, true);
  write(36, 'data');
  file.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, i) => {
    const value = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    file.setInt16(44 + i * 2, value, true);
  });
  return file.buffer as ArrayBuffer;
}

/** Draws a waveform as a small picture of bars. */
export function waveElement(loudness: number[] | undefined): HTMLElement {
  const element = h('span', { class: 'wave', 'aria-hidden': 'true' });
  for (const value of loudness ?? Array.from({ length: BARS }, () => 0.3)) {
    const bar = h('i');
    bar.style.height = `${Math.max(8, value * 100)}%`;
    element.append(bar);
  }
  return element;
}

/** Records from the microphone; undefined if cancelled. */
export function record(): Promise<File | undefined> {
  return new Promise((resolve) => {
    let result: File | undefined;
    let stop = () => {};
    const meter = h('div', { class: 'meter', 'aria-hidden': 'true' });
    const status = h('p', { role: 'status' }, 'Nothing is recorded yet.');
    const preview = h('audio', { controls: true, hidden: true });
    const use = h('button', { type: 'button', class: 'primary', disabled: true }, 'Use this sound');
    const toggle = button('record', 'Record', async () => {
      if (toggle.classList.contains('live')) {
        stop();
        return;
      }
      let stream: MediaStream;
      try {
        stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      } catch {
        status.textContent = 'No microphone can be used. Allow it for this page, or add a sound file.';
        return;
      }
      const recorder = new MediaRecorder(stream);
      const pieces: Blob[] = [];
      const context = new AudioContext();
      const analyser = context.createAnalyser();
      context.createMediaStreamSource(stream).connect(analyser);
      const level = new Float32Array(analyser.fftSize);
      const ticking = setInterval(() => {
        analyser.getFloatTimeDomainData(level);
        const bar = h('i');
        bar.style.height = `${Math.min(100, Math.max(6, Math.max(...level) * 140))}%`;
        meter.append(bar);
        while (meter.children.length > 60) {
          meter.firstChild!.remove();
        }
      }, 80);
      const end = setTimeout(() => stop(), 30_000);
      stop = () => recorder.state === 'recording' && recorder.stop();
      recorder.ondataavailable = (event) => pieces.push(event.data);
      recorder.onstop = async () => {
        clearInterval(ticking);
        clearTimeout(end);
        stream.getTracks().forEach((track) => track.stop());
        void context.close();
        toggle.classList.remove('live');
        toggle.querySelector('span')!.textContent = 'Record again';
        try {
          const samples = await mono(new Blob(pieces));
          result = new File([toWav(samples)], 'recording.wav', { type: 'audio/wav' });
          preview.src = URL.createObjectURL(result);
          preview.hidden = false;
          use.disabled = false;
          status.textContent = `${(samples.length / RATE).toFixed(1)} seconds recorded.`;
        } catch {
          status.textContent = 'The recording cannot be read. Record again.';
        }
      };
      meter.replaceChildren();
      recorder.start();
      toggle.classList.add('live');
      toggle.querySelector('span')!.textContent = 'Stop';
      status.textContent = 'Recording, for 30 seconds at most.';
    });
    let used = false;
    use.addEventListener('click', () => {
      used = true;
      dialog.close();
    });
    const dialog = openDialog(
      'Record a sound',
      h('div', { class: 'dialog-body' }, meter, status, preview),
      h('footer', {}, toggle, use),
    );
    dialog.addEventListener('close', () => {
      stop();
      resolve(used ? result : undefined);
    });
  });
}
