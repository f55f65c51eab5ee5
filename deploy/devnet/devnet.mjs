// A real AT Protocol network on loopback: one PLC directory and N PDSes in this process.
//
//   node devnet.mjs [--pds N] [--data DIR]
//
// Prints one JSON line when everything answers, then one JSON line for each command line on stdin:
//   {"cmd": "stop" | "start", "pds": 0}      an outage of one PDS: same port, same data
//   {"cmd": "stop" | "start", "plc": true}   an outage of the directory
// Ends, cleanly, on SIGTERM, SIGINT and at the end of stdin: whoever started it may die in any way
// and leaves no orphan. Nothing here listens on any address but 127.0.0.1.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import crypto from '@atproto/crypto'
import pdsPackage from '@atproto/pds'
import plcPackage from '@did-plc/server'

const { PDS, envToCfg, envToSecrets } = pdsPackage
const { MockDatabase, PlcServer } = plcPackage

const LOOPBACK = '127.0.0.1'
const POLL_MS = 10 // the PDS's own back-off goes up to a second when idle
const DID_STALE_MS = 1000 // the PDS's own defaults are hours: a migration would see old documents
const DID_MAX_MS = 2000
const BLOB_LIMIT = 256 * 1024 * 1024
const SHUTDOWN_MS = 8000

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)

// Below the range from which systems take the ports of outgoing connections: during an outage
// nobody else may come by the port of the server that is down.
async function freePort() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20000 + Math.floor(Math.random() * 12000)
    const probe = net.createServer()
    const free = await new Promise((resolve) => {
      probe.once('error', () => resolve(false))
      probe.listen(port, LOOPBACK, () => resolve(true))
    })
    if (!free) continue
    probe.close()
    await once(probe, 'close')
    return port
  }
  throw new Error('no free port between 20000 and 32000')
}

// Both servers listen on every interface unless told otherwise. Returns what cuts the open
// connections: an outage ends them, WebSockets included, instead of waiting for them.
function onLoopbackOnly(app) {
  const listen = app.listen
  const sockets = new Set()
  let down = false
  app.listen = (port) => {
    const server = listen.call(app, port, LOOPBACK)
    server.on('connection', (socket) => {
      if (down) return socket.destroy()
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    return server
  }
  return () => {
    down = true
    for (const socket of sockets) socket.destroy()
  }
}

class Plc {
  db = new MockDatabase() // in memory: survives an outage, not the process
  server = null

  async init() {
    this.port = await freePort()
    this.url = `http://${LOOPBACK}:${this.port}`
    await this.start()
  }

  async start() {
    this.server = PlcServer.create({ db: this.db, port: this.port })
    this.cut = onLoopbackOnly(this.server.app)
    await this.server.start()
  }

  async stop() {
    const server = this.server
    this.server = null
    this.cut()
    await server.destroy()
  }
}

class Host {
  server = null

  async init(index, plcUrl, dataDir) {
    this.port = await freePort()
    const directory = path.join(dataDir, `pds${index}`)
    await mkdir(path.join(directory, 'blobs'), { recursive: true })
    const rotationKey = await crypto.Secp256k1Keypair.create({ exportable: true })
    this.env = {
      devMode: true,
      port: this.port,
      hostname: 'localhost',
      serviceDid: `did:web:localhost%3A${this.port}`, // the default would be the same for all
      serviceHandleDomains: [`.pds${index}.test`], // so that handles say which PDS they are on
      didPlcUrl: plcUrl,
      didCacheStaleTTL: DID_STALE_MS,
      didCacheMaxTTL: DID_MAX_MS,
      dataDirectory: directory,
      blobstoreDiskLocation: path.join(directory, 'blobs'),
      blobstoreDiskTmpLocation: path.join(directory, 'blobs-tmp'),
      blobUploadLimit: BLOB_LIMIT,
      inviteRequired: false,
      disableSsrfProtection: true,
      adminPassword: randomBytes(12).toString('hex'),
      jwtSecret: randomBytes(32).toString('hex'),
      plcRotationKeyK256PrivateKeyHex: Buffer.from(await rotationKey.export()).toString('hex'),
    }
    await this.start()
  }

  async start() {
    this.server = await PDS.create(envToCfg(this.env), envToSecrets(this.env))
    this.server.ctx.sequencer.exponentialBackoff = () => sleep(POLL_MS)
    this.cut = onLoopbackOnly(this.server.app)
    await this.server.start()
  }

  async stop() {
    const server = this.server
    this.server = null
    this.cut()
    await server.destroy()
    server.ctx.sequencer.db.close()
  }

  describe() {
    return {
      url: `http://localhost:${this.port}`, // the origin that DID documents name
      domain: this.env.serviceHandleDomains[0],
      did: this.env.serviceDid,
      admin_password: this.env.adminPassword,
    }
  }
}

async function execute(line, plc, hosts) {
  const { cmd, pds, plc: onPlc } = JSON.parse(line)
  const target = onPlc ? plc : hosts[pds]
  if (!target || !['stop', 'start'].includes(cmd)) throw new Error(`unknown command: ${line}`)
  const running = target.server !== null
  if (cmd === 'stop' && running) await target.stop()
  if (cmd === 'start' && !running) await target.start()
  return { ok: true, cmd, ...(onPlc ? { plc: true } : { pds }) }
}

async function main() {
  const { values } = parseArgs({
    options: { pds: { type: 'string', default: '2' }, data: { type: 'string' } },
  })
  const count = Number(values.pds)
  if (!Number.isInteger(count) || count < 1 || count > 16) throw new Error('--pds: 1 to 16')
  const dataDir = values.data ?? (await mkdtemp(path.join(tmpdir(), 'atdata-devnet-')))

  let ending = false
  const end = async (code = 0) => {
    if (ending) return
    ending = true
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref()
    const running = [...hosts, plc].filter((service) => service.server !== null)
    await Promise.allSettled(running.map((service) => service.stop()))
    if (!values.data) await rm(dataDir, { recursive: true, force: true })
    process.exit(code)
  }
  const plc = new Plc()
  const hosts = []
  process.on('SIGTERM', () => end())
  process.on('SIGINT', () => end())
  process.stdout.on('error', () => end()) // the reader is gone

  // Commands wait for their turn, so that a start never overtakes the stop before it.
  const lines = readline.createInterface({ input: process.stdin })
  let queue = (async () => {
    await plc.init()
    for (let index = 0; index < count; index++) {
      const host = new Host()
      await host.init(index, plc.url, dataDir)
      hosts.push(host)
    }
    say({ plc: plc.url, pdses: hosts.map((host) => host.describe()), data: dataDir })
  })().catch((error) => {
    console.error(error)
    return end(1)
  })
  lines.on('line', (line) => {
    queue = queue
      .then(() => execute(line, plc, hosts))
      .then(say, (error) => say({ ok: false, error: String(error) }))
  })
  lines.on('close', () => end())
}

await main()
