// Validate custom resources by the schemas of their own definitions: `node crds.mjs DIRECTORY < objects.json`, where
// DIRECTORY has the npm packages @kubernetes-models/…; prints a line for each object that its definition would refuse.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const packages = {
  "gateway.envoyproxy.io/v1alpha1": "envoy-gateway",
  "gateway.networking.k8s.io/v1": "gateway-api",
  "keda.sh/v1alpha1": "keda",
  "monitoring.coreos.com/v1": "prometheus-operator",
};
const home = `${process.argv[2]}/node_modules/@kubernetes-models`;
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  const { apiVersion, kind, metadata } = object;
  try {
    const file = pathToFileURL(`${home}/${packages[apiVersion]}/${apiVersion}/${kind}.js`);
    const models = await import(file); // some are modules, some are older than those
    new (models[kind] ?? models.default[kind])(object).validate();
  } catch (error) {
    console.log(`${kind} ${metadata.name}: ${error.message}`);
  }
}
