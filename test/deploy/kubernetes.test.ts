/** deploy/kubernetes/: valid by Kubernetes' own schemas, of one piece, and settings with which Latchkey starts. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import t from 'tap'
import { parse } from 'yaml'
import { readConfig } from '../../config.ts'
import { VERSION } from '../../version.ts'
import { node, ROOT } from '../process.ts'
import { need, skipWithout } from '../programs.ts'
import { readDockerfile, textsOf } from './dockerfile.ts'
import { stopWithin, unknownSettings } from './settings.ts'

const FOLDER = join(ROOT, 'deploy/kubernetes')
const FILES = readdirSync(FOLDER).sort()
const [configmap, deployment, budget, secret, service] = FILES.map((name) =>
  parse(readFileSync(join(FOLDER, name), 'utf8')),
)
const pod = deployment.spec.template.spec
const [container] = pod.containers
const env: Record<string, string> = Object.fromEntries(
  container.env.map(({ name, value }: { name: string; value: string }) => [name, value]),
)
const [image] = readDockerfile(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')).slice(-1)

t.test("Kubernetes' schemas take them", { skip: skipWithout('kubernetes-validate') }, async (t) => {
  const validator = need('kubernetes-validate')
  const PYTHONPATH = join(validator, '../..')
  const said = execFileSync(validator, ['--strict', ...FILES.map((name) => join(FOLDER, name))], {
    env: { ...process.env, PYTHONPATH },
    encoding: 'utf8',
  })
  t.equal(said.match(/ passed for resource /g)?.length, FILES.length)
})

t.test('they belong together', async (t) => {
  const kinds = [configmap, deployment, budget, secret, service].map(({ kind }) => kind)
  t.strictSame(kinds, ['ConfigMap', 'Deployment', 'PodDisruptionBudget', 'Secret', 'Service'])
  const labels = deployment.spec.template.metadata.labels
  for (const selector of [
    deployment.spec.selector.matchLabels,
    budget.spec.selector.matchLabels,
    service.spec.selector,
    pod.topologySpreadConstraints[0].labelSelector.matchLabels,
  ])
    t.strictSame(selector, labels)
  t.strictSame(container.envFrom, [{ configMapRef: { name: configmap.metadata.name } }])
  t.equal(pod.volumes[0].secret.secretName, secret.metadata.name)
  t.equal(service.spec.ports[0].targetPort, container.ports[0].name)
  t.strictSame(textsOf(image!, 'EXPOSE'), [String(container.ports[0].containerPort)])
  t.match(container.image, new RegExp(`:${VERSION}$`))
  for (const [name, path] of Object.entries({ ...env }))
    t.ok(Object.hasOwn(secret.stringData, path.replace('/etc/latchkey/', '')), name)
})

t.test('a pod can do no more than it needs, and one always serves', async (t) => {
  t.match(pod.securityContext, { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } })
  t.strictSame(textsOf(image!, 'USER'), [`${pod.securityContext.runAsUser}:${pod.securityContext.runAsGroup}`])
  const none = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } }
  t.strictSame(container.securityContext, none)
  t.equal(pod.automountServiceAccountToken, false)
  t.equal(pod.volumes[0].secret.defaultMode, 0o440)
  t.ok(container.resources.limits.memory && container.resources.requests.cpu)
  t.ok(deployment.spec.replicas >= 2)
  t.equal(deployment.spec.strategy.rollingUpdate.maxUnavailable, 0)
  t.equal(budget.spec.maxUnavailable, 1)
})

t.test('probes ask what they should, and a stop has the time it takes', async (t) => {
  const { startupProbe, livenessProbe, readinessProbe } = container
  const paths = [startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path)
  t.strictSame(paths, ['/health/live', '/health/live', '/health/ready'])
  t.ok(readinessProbe.timeoutSeconds * 1000 > readConfig({}).DB_MAX_WAIT_MS)
  t.ok(pod.terminationGracePeriodSeconds > stopWithin(Number(configmap.data.SHUTDOWN_DELAY)))
})

t.test('Latchkey starts with these settings once the secrets are real, and not before', async (t) => {
  t.strictSame(unknownSettings({ ...configmap.data, ...env }), [])
  t.notMatch(Object.keys(configmap.data).join(), /SECRET|DATABASE_URL|PASSWORD|TOKEN/)
  const folder = join(t.testdir(), 'etc')
  mkdirSync(folder)
  for (const [name, text] of Object.entries(secret.stringData as Record<string, string>))
    writeFileSync(join(folder, name), text.replace('/etc/latchkey', folder))
  const files = Object.entries(env).map(([name, path]) => [name, path.replace('/etc/latchkey', folder)])
  const settings: Record<string, string> = { ...configmap.data, ...Object.fromEntries(files) }
  const refused = node(t, ['dist/cli.js', 'serve'], settings)
  t.equal(await refused.ended, 1)
  t.match(refused.stderr(), /^ {2}- SECRET must be at least 32 bytes/m)
  t.match(refused.stderr(), /^ {2}- DATABASE_URL has ssl-ca=.*, which holds no certificate/m)
  writeFileSync(join(folder, 'secret'), `${'0123456789abcdef'.repeat(4)}\n`)
  // Any authority will do.
  writeFileSync(join(folder, 'ca.pem'), rootCertificates[0]!)
  t.match(readConfig(settings), { ISSUER: 'https://auth.example.com', TRUSTED_PROXIES: [], SHUTDOWN_DELAY: 5 })
})
